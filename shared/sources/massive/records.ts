import type { RecordSink } from '../../datasets/record-sink.ts'
import { ContractError } from '../../errors.ts'
import { MICROS_PER_MS } from '../../instant.ts'
import { parseJsonObject, shownText, typeName } from '../answer.ts'
import { createBarWriter, type FieldWriter, notReadable } from '../bar-writer.ts'
import { type Market, type MassiveParams, marketOf, subjectOf, TIMEFRAME_FACTS } from './params.ts'

/**
 * Bars of a stored page, in its order. Those of an index have no `v`, `vw` and `n`; `v` of a currency counts its quotes.
 * The page was judged when it came, so an envelope that is none is a ContractError: these are not the bytes of a page.
 */
export function barsRecords(body: Uint8Array, params: MassiveParams, into: RecordSink): void {
  const parsed = parseJsonObject(body)
  if (!parsed.ok) throw new ContractError(parsed.refusal.detail)
  const { ticker } = parsed.object
  if (ticker !== params.symbol) {
    const came = typeof ticker === 'string' ? shownText(ticker) : typeName(ticker)
    throw new ContractError(`ticker: expected ${params.symbol}, got ${came}`)
  }
  const results = parsed.object.results ?? []
  if (!Array.isArray(results)) throw new ContractError(`results: expected an array, got ${typeName(results)}`)
  const { timeframe, adjustment } = params
  const same = { symbol: subjectOf(params), timeframe, source: 'massive', adjustment }
  const putBar = createBarWriter(into, same, createTimeWriter(params, into))
  for (const bar of results) putBar(bar)
}

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** 9999-12-31T23:59:59.999Z: later years cannot be written. */
const TIME_MAX_MS = 253_402_300_799_999

/**
 * When the day of a market begins, in hours of UTC: its daily bars carry one of these times of their session's date.
 * Stocks at midnight in New York, in summer and in winter; indices there or, as Massive's own samples show, at midnight
 * in Chicago; currencies and metals at 00:00Z.
 */
const DAY_BEGINS_H: Readonly<Record<Market, readonly number[]>> = {
  stock: [4, 5],
  index: [4, 5, 6],
  currency: [0],
}

/**
 * `ts` and `session_date` of `t`.
 *
 * New York is four or five hours behind UTC, so from midnight there until 20:00 the instant less four hours lies on the
 * session's date in summer and in winter, post-market included: no time zone table is needed.
 */
function createTimeWriter({ symbol, timeframe }: MassiveParams, into: RecordSink): FieldWriter {
  const ts = into.column('ts')
  const sessionDate = into.column('session_date')
  const daily = timeframe === '1d'
  const market = marketOf(symbol)
  const begins = DAY_BEGINS_H[market]
  const stepMs = TIMEFRAME_FACTS[timeframe].seconds * 1_000
  const shiftMs = daily || market === 'currency' ? 0 : 4 * HOUR_MS
  return (value) => {
    if (typeof value !== 'number' || !Number.isInteger(value)) {
      into.fail(...notReadable('ts', 'ms since 1970', value))
      return false
    }
    if (value < 0 || value > TIME_MAX_MS) {
      into.fail('out_of_range', `ts: expected ms from 1970 to 9999, got ${value}`)
      return false
    }
    const date = Math.floor((value - shiftMs) / DAY_MS)
    if (daily && !begins.includes((value - date * DAY_MS) / HOUR_MS)) {
      const hours = begins.map((hour) => `0${hour}:00Z`).join(' or ')
      into.fail('out_of_range', `ts: expected the start of a day, ${hours}, got ${new Date(value).toISOString()}`)
      return false
    }
    if (!daily && value % stepMs !== 0) {
      into.fail('out_of_range', `ts: expected the start of a bar of ${timeframe}, got ${value}`)
      return false
    }
    ts.put(BigInt(daily ? date * DAY_MS : value) * MICROS_PER_MS)
    sessionDate.put(date)
    return true
  }
}
