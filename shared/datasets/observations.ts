import { z } from 'zod'
import { defineDataset } from './contract.ts'

// A lone surrogate has no UTF-8 form: two keys that differ in memory would be one in the file.
const text = z
  .string()
  .min(1)
  .refine((value) => value.isWellFormed())

/**
 * Values of economic series, one per date: a yield, an index, a rate. They have no timeframe. The vintage that a
 * provider names is no column: it is the day on which we asked, which `_observed_at` says, and a re-read of equal values
 * must count as unchanged. Raw keeps it.
 */
export const observations = defineDataset({
  name: 'observations',
  contractVersion: 1,
  description: 'value of one series on one date, as the provider knew it when it was asked',
  columns: [
    { name: 'ts', type: 'instant', nullable: false, description: '00:00Z of the observation date' },
    {
      name: 'observation_date',
      type: 'date',
      nullable: false,
      description: 'date of the observation; of weeks, months and years the date that the provider names them by',
    },
    {
      name: 'value',
      type: 'double',
      nullable: true,
      description: 'observed value in the units of the series; null where the provider says that there is none',
    },
    { name: 'symbol', type: 'string', nullable: false, description: "the stream's subject" },
    { name: 'source', type: 'string', nullable: false, description: 'provider of the observation' },
    { name: 'units', type: 'string', nullable: false, description: 'transformation asked for; lin is none' },
  ],
  key: ['symbol', 'source', 'ts'],
  eventTime: 'ts',
  // A year of daily observations is about 261 rows.
  partitionBy: () => 'year',
  row: z.object({
    ts: z.int64(),
    observation_date: z.int32(),
    value: z.number().nullable(),
    symbol: text,
    source: text,
    units: text,
  }),
})
