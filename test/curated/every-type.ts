import { z } from 'zod'
import { type Column, type ColumnType, defineDataset } from '../../shared/datasets/contract.ts'

const TYPES: readonly ColumnType[] = ['instant', 'date', 'double', 'int64', 'int32', 'string']

const column = (name: string, type: ColumnType, nullable: boolean): Column => ({
  name,
  type,
  nullable,
  description: type,
})

/** A dataset as wide as contracts may be: each type required and nullable, and a key of each type that may be one. */
export const everyType = defineDataset({
  name: 'every_type',
  contractVersion: 1,
  description: 'for tests: what no single dataset of the platform has',
  columns: [
    column('ts', 'instant', false),
    column('key_string', 'string', false),
    column('key_int32', 'int32', false),
    column('key_date', 'date', false),
    column('key_int64', 'int64', false),
    ...TYPES.map((type) => column(`required_${type}`, type, false)),
    ...TYPES.map((type) => column(`nullable_${type}`, type, true)),
  ],
  key: ['key_string', 'key_int32', 'key_date', 'key_int64', 'ts'],
  eventTime: 'ts',
  partitionBy: () => 'year',
  row: z.unknown(),
})
