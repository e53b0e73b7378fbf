import type { RecordSink, RejectCode } from '../../datasets/record-sink.ts'
import { ContractError } from '../../errors.ts'
import { MICROS_PER_SECOND } from '../../instant.ts'
import { isJsonObject, parseJsonObject, shown, shownText, typeName } from '../answer.ts'
import { createBarWriter, type FieldWriter } from '../bar-writer.ts'
import { createSecondsReader } from '../seconds-reader.ts'
import { type AlpacaParams, subjectOf, TIMEFRAME_FACTS } from './params.ts'

/**
 * Bars of a stored page, in its order. Fields that we do not know are ignored; `v`, `n` and `vw` may be null or absent.
 * The page was judged when it came, so an envelope that is none is a ContractError: these are not the bytes of a page.
 */
export function barsRecords(body: Uint8Array, params: AlpacaParams, into: RecordSink): void {
  const parsed = parseJsonObject(body)
  if (!parsed.ok) throw new ContractError(parsed.refusal.detail)
  const { bars } = parsed.object
  if (!isJsonObject(bars)) throw new ContractError(`bars: expected an object, got ${typeName(bars)}`)
  const putBar = createBarWriter(
    into,
    { symbol: subjectOf(params), timeframe: params.timeframe, source: 'alpaca', adjustment: params.adjustment },
    createTimeWriter(params, into),
  )
  for (const [name, list] of Object.entries(bars)) {
    if (name !== params.symbol) throw new ContractError(`bars: expected only ${params.symbol}, got ${shownText(name)}`)
    if (list !== null && !Array.isArray(list)) {
      throw new ContractError(`bars of ${name}: expected an array, got ${typeName(list)}`)
    }
    for (const bar of list ?? []) putBar(bar)
  }
}

const HOUR_S = 3_600
const DAY_S = 24 * HOUR_S

/**
 * `ts` and `session_date` of `t`.
 *
 * New York is four or five hours behind UTC, so between 04:00 and 20:00 there, and at midnight, the instant less four
 * hours lies on the session's date in summer and in winter: no time zone table is needed. A night session, 20:00 to
 * 04:00, counts to the day on which it ends: that is the instant's own date.
 */
function createTimeWriter({ timeframe, feed }: AlpacaParams, into: RecordSink): FieldWriter {
  const ts = into.column('ts')
  const sessionDate = into.column('session_date')
  const secondsOf = createSecondsReader()
  const daily = timeframe === '1d'
  const stepS = TIMEFRAME_FACTS[timeframe].seconds
  const shiftS = !daily && (feed === 'overnight' || feed === 'boats') ? 0 : 4 * HOUR_S
  return (value) => {
    const at = typeof value === 'string' ? secondsOf(value) : undefined
    if (at === undefined) {
      into.fail(...notAnInstant(value))
      return false
    }
    const date = Math.floor((at - shiftS) / DAY_S)
    const lateS = at - shiftS - date * DAY_S
    if (daily && lateS !== 0 && lateS !== HOUR_S) {
      into.fail('out_of_range', `ts: expected midnight in new york, 04:00Z or 05:00Z, got ${shown(value)}`)
      return false
    }
    if (!daily && at % stepS !== 0) {
      into.fail('out_of_range', `ts: expected the start of a bar of ${timeframe}, got ${shown(value)}`)
      return false
    }
    ts.put(BigInt(daily ? date * DAY_S : at) * MICROS_PER_SECOND)
    sessionDate.put(date)
    return true
  }
}

function notAnInstant(value: unknown): [RejectCode, string] {
  if (value === null || value === undefined) return ['missing', 'ts: expected an instant, got none']
  const code = typeof value === 'string' ? 'unreadable' : 'wrong_type'
  return [code, `ts: expected an rfc 3339 instant, got ${shown(value)}`]
}
