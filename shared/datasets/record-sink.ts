import { sample } from '../json.ts'
import type { Column, Dataset } from './contract.ts'
import { allocateColumn, type ColumnData, type RowBatch } from './row-batch.ts'

/** A record that does not fit its contract, with its place in the raw page. */
export type Reject = {
  /** Ordinal of the record in its page, from 0. */
  readonly ordinal: number
  readonly code: RejectCode
  readonly detail: string
  readonly record: unknown
}

export type RejectCode = 'missing' | 'wrong_type' | 'out_of_range' | 'unreadable'

type Violation = { readonly code: RejectCode; readonly detail: string }

const INT64_MIN = -(2n ** 63n)
const INT64_MAX = 2n ** 63n - 1n

/** Takes one value of the current record; anything that the contract does not allow makes the record a reject. */
export type ColumnBuilder = { readonly put: (value: unknown) => void }

/**
 * Where a source puts its records: one `put` per column, then one `end` per record, in the order of the page. Values
 * go straight into columns; a record that breaks the contract leaves no row and one reject with its first violation.
 */
export type RecordSink = {
  /** The builder of one column; throws where the dataset has none of that name. Ask once per page. */
  readonly column: (name: string) => ColumnBuilder
  /** The current record cannot be read at all, or has a fault that no column shows. `end` still follows. */
  readonly fail: (code: RejectCode, detail: string) => void
  /** Ends the current record; `record` is kept with the reject if it is one. */
  readonly end: (record: unknown) => void
}

export type ParsedPage = {
  /** Records seen: rows and rejects. */
  readonly records: number
  readonly rows: RowBatch
  /** Ordinal in the page of each row. */
  readonly ordinals: Int32Array
  readonly rejects: readonly Reject[]
}

/** Business columns only; `finish` gives what was put, and the sink is not used again. */
export function createRecordSink(dataset: Dataset): RecordSink & { readonly finish: () => ParsedPage } {
  const values = dataset.columns.map((): unknown[] => [])
  const ordinals: number[] = []
  const rejects: Reject[] = []
  let ordinal = 0
  let violation: Violation | undefined
  const current: unknown[] = dataset.columns.map(() => null)

  return {
    column(name) {
      const index = dataset.columns.findIndex((column) => column.name === name)
      if (index < 0) throw new Error(`dataset ${dataset.name}: expected one of its columns, got ${name}`)
      return {
        put(value) {
          current[index] = value ?? null
        },
      }
    },
    fail(code, detail) {
      violation ??= { code, detail }
    },
    end(record) {
      for (let index = 0; index < current.length && violation === undefined; index++) {
        violation = checkValue(dataset.columns[index] as Column, current[index])
      }
      if (violation === undefined) {
        for (let index = 0; index < current.length; index++) values[index]?.push(current[index])
        ordinals.push(ordinal)
      } else {
        rejects.push({ ordinal, code: violation.code, detail: violation.detail, record })
      }
      current.fill(null)
      violation = undefined
      ordinal++
    },
    finish() {
      const batch: Record<string, ColumnData> = {}
      for (const [index, column] of dataset.columns.entries()) {
        const data = allocateColumn(column, ordinals.length) as unknown[]
        for (let row = 0; row < ordinals.length; row++) data[row] = values[index]?.[row]
        batch[column.name] = data as unknown as ColumnData
      }
      return {
        records: ordinal,
        rows: { rowCount: ordinals.length, columns: batch },
        ordinals: Int32Array.from(ordinals),
        rejects,
      }
    },
  }
}

/** What is wrong with `value` in `column`, or undefined. The zod row of the contract says the same, readably. */
export function checkValue(column: Column, value: unknown): Violation | undefined {
  if (value === null || value === undefined) {
    return column.nullable ? undefined : { code: 'missing', detail: `${column.name}: expected a value, got none` }
  }
  switch (column.type) {
    case 'double':
      if (typeof value !== 'number') return wrongType(column, 'a number', value)
      return Number.isFinite(value) ? undefined : outOfRange(column, 'a finite number', value)
    case 'date':
    case 'int32':
      if (typeof value !== 'number' || !Number.isInteger(value)) return wrongType(column, 'a whole number', value)
      return value === (value | 0) ? undefined : outOfRange(column, 'a 32-bit number', value)
    case 'instant':
    case 'int64':
      if (typeof value !== 'bigint') return wrongType(column, 'a whole number', value)
      return value >= INT64_MIN && value <= INT64_MAX ? undefined : outOfRange(column, 'a 64-bit number', value)
    case 'string':
      if (typeof value !== 'string') return wrongType(column, 'a string', value)
      if (value === '') return { code: 'missing', detail: `${column.name}: expected text, got ""` }
      if (!value.isWellFormed()) return outOfRange(column, 'well-formed text', JSON.stringify(value))
      if (column.oneOf === undefined || column.oneOf.includes(value)) return undefined
      return outOfRange(column, `one of ${column.oneOf.join(', ')}`, sample(value, 60))
  }
}

function wrongType(column: Column, expected: string, value: unknown): Violation {
  const came = typeof value === 'bigint' ? `${value}n` : sample(value, 60)
  return { code: 'wrong_type', detail: `${column.name}: expected ${expected}, got ${came}` }
}

function outOfRange(column: Column, expected: string, value: number | bigint | string): Violation {
  return { code: 'out_of_range', detail: `${column.name}: expected ${expected}, got ${value}` }
}
