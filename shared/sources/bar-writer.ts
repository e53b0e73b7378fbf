import type { RecordSink, RejectCode } from '../datasets/record-sink.ts'
import { isJsonObject, shown, typeName } from './answer.ts'
import { keepable } from './lossless-json.ts'

/** Puts one value, or fails the record; false where the record may become a reject. */
export type FieldWriter = (value: unknown) => boolean

/** What is the same of every bar of a stream. */
export type BarConstants = {
  readonly symbol: string
  readonly timeframe: string
  readonly source: string
  readonly adjustment: string
}

/**
 * Writes bars that are `{"t":…,"o":…,"h":…,"l":…,"c":…,"v":…,"vw":…,"n":…}`. Fields that we do not know are ignored; `v`,
 * `vw` and `n` may be null or absent. What a time looks like is the provider's: `writeTime` reads it.
 */
export function createBarWriter(
  into: RecordSink,
  same: BarConstants,
  writeTime: FieldWriter,
): (record: unknown) => void {
  const constants = [
    [into.column('symbol'), same.symbol],
    [into.column('timeframe'), same.timeframe],
    [into.column('source'), same.source],
    [into.column('adjustment'), same.adjustment],
  ] as const
  const fields = [
    ['o', createNumberWriter(into, 'open')],
    ['h', createNumberWriter(into, 'high')],
    ['l', createNumberWriter(into, 'low')],
    ['c', createNumberWriter(into, 'close')],
    ['v', createNumberWriter(into, 'volume')],
    ['vw', createNumberWriter(into, 'vwap')],
    ['n', createCountWriter(into, 'trade_count')],
    ['t', writeTime],
  ] as const
  return (record) => {
    let fits = isJsonObject(record)
    if (isJsonObject(record)) {
      for (const [field, write] of fields) fits = write(record[field]) && fits
      for (const [column, value] of constants) column.put(value)
    } else {
      into.fail('unreadable', `bar: expected an object, got ${typeName(record)}`)
    }
    into.end(fits ? record : keepable(record))
  }
}

/** Doubles, as the vendor gave them. An integer that no double holds is refused rather than rounded. */
function createNumberWriter(into: RecordSink, name: string): FieldWriter {
  const column = into.column(name)
  return (value) => {
    if (typeof value === 'number') column.put(value)
    else if (value === null || value === undefined) column.put(null)
    else if (typeof value !== 'bigint') into.fail(...notReadable(name, 'a number', value))
    else if (BigInt(Number(value)) === value) column.put(Number(value))
    else into.fail('out_of_range', `${name}: expected what a double holds, got ${value}`)
    return typeof value === 'number' && Number.isFinite(value)
  }
}

function createCountWriter(into: RecordSink, name: string): FieldWriter {
  const column = into.column(name)
  return (value) => {
    const exact = typeof value === 'number' && Number.isSafeInteger(value)
    if (exact || typeof value === 'bigint') column.put(BigInt(value))
    else if (value === null || value === undefined) column.put(null)
    else into.fail(...notReadable(name, 'a whole number', value))
    return exact
  }
}

/** For a value that has another type than its column takes, or is not there at all. */
export function notReadable(name: string, expected: string, value: unknown): [RejectCode, string] {
  if (value === null || value === undefined) return ['missing', `${name}: expected ${expected}, got none`]
  return ['wrong_type', `${name}: expected ${expected}, got ${shown(value)}`]
}
