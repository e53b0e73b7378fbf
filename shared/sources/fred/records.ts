import type { RecordSink, RejectCode } from '../../datasets/record-sink.ts'
import { ContractError } from '../../errors.ts'
import { instantOfDate, parseDate } from '../../instant.ts'
import { isJsonObject, parseJsonObject, shown, typeName } from '../answer.ts'
import { keepable } from '../lossless-json.ts'
import { type FredParams, subjectOf } from './params.ts'

/**
 * Observations of a stored page, in its order. Fields that we do not know are ignored. The page was judged when it came,
 * so an envelope that is none is a ContractError: these are not the bytes of a page.
 */
export function observationsRecords(body: Uint8Array, params: FredParams, into: RecordSink): void {
  const parsed = parseJsonObject(body)
  if (!parsed.ok) throw new ContractError(parsed.refusal.detail)
  const { observations } = parsed.object
  if (!Array.isArray(observations)) {
    throw new ContractError(`observations: expected an array, got ${typeName(observations)}`)
  }
  const putObservation = createObservationWriter(params, into)
  for (const observation of observations) putObservation(observation)
}

function createObservationWriter(params: FredParams, into: RecordSink): (observation: unknown) => void {
  const constants = [
    [into.column('symbol'), subjectOf(params)],
    [into.column('source'), 'fred'],
    [into.column('units'), params.units],
  ] as const
  const fields = [
    ['date', createDateWriter(into)],
    ['value', createValueWriter(into)],
  ] as const
  return (observation) => {
    let fits = isJsonObject(observation)
    if (isJsonObject(observation)) {
      for (const [field, write] of fields) fits = write(observation[field]) && fits
      for (const [column, value] of constants) column.put(value)
    } else {
      into.fail('unreadable', `observation: expected an object, got ${typeName(observation)}`)
    }
    into.end(fits ? observation : keepable(observation))
  }
}

/** Puts one value, or fails the record; false where the record is a reject. */
type FieldWriter = (value: unknown) => boolean

function createDateWriter(into: RecordSink): FieldWriter {
  const ts = into.column('ts')
  const date = into.column('observation_date')
  return (value) => {
    const days = typeof value === 'string' ? parseDate(value) : undefined
    if (days === undefined) {
      into.fail(...notReadable('observation_date', 'a date', value))
      return false
    }
    date.put(days)
    ts.put(instantOfDate(days))
    return true
  }
}

/** `3.57`, `-0.25`, `.5`, `1.2e-05`: a decimal number and nothing else, no sign of plus, no hex, no Infinity, no space. */
const DECIMAL = /^-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/
const INTEGER = /^-?\d+$/

/** FRED writes values as text, and `.` where there is none, as on a holiday: a row without a value, not a reject. */
function createValueWriter(into: RecordSink): FieldWriter {
  const column = into.column('value')
  return (value) => {
    if (value === '.') {
      column.put(null)
      return true
    }
    if (typeof value !== 'string' || !DECIMAL.test(value)) {
      into.fail(...notReadable('value', 'a number as text or "."', value))
      return false
    }
    const number = Number(value)
    // A fraction is rounded to the nearest double; an integer that no double holds is refused, like a number too large.
    if (!Number.isFinite(number) || (INTEGER.test(value) && BigInt(value) !== BigInt(number))) {
      into.fail('out_of_range', `value: expected what a double holds, got ${shown(value)}`)
      return false
    }
    column.put(number)
    return true
  }
}

function notReadable(name: string, expected: string, value: unknown): [RejectCode, string] {
  if (value === null || value === undefined) return ['missing', `${name}: expected ${expected}, got none`]
  return [typeof value === 'string' ? 'unreadable' : 'wrong_type', `${name}: expected ${expected}, got ${shown(value)}`]
}
