import { describe, expect, test } from 'vitest'
import { startAlpacaSimulator } from '../../jobs/local/providers/alpaca.ts'
import { startFredSimulator } from '../../jobs/local/providers/fred.ts'
import { startMassiveSimulator } from '../../jobs/local/providers/massive.ts'
import { loadObservationSeries } from '../../jobs/local/providers/observation-series.ts'
import { loadSp500 } from '../../jobs/local/providers/sp500.ts'
import { createRecordSink } from '../../shared/datasets/record-sink.ts'
import { instantOfDate, parseDate } from '../../shared/instant.ts'
import { storableJson } from '../../shared/json.ts'
import { sha256Hex } from '../../shared/sha256.ts'
import type { ProviderSource } from '../../shared/sources/contract.ts'
import { SOURCES } from '../../shared/sources/registry.ts'

/**
 * What each transform version makes of fixed pages, and the contract it makes it for. If this fails, `records`, the
 * contract or the key has changed: raise the source's `transformVersion` and add a line. Never change a line.
 */
const FINGERPRINTS: Readonly<Record<string, string>> = {
  'alpaca 1': '0bf0a01272ac78ad5e1a93f9524d82422ac5daf684459fb3ed822d33eb8cce04',
  'fred 1': '8d91ae75702219022630fd52dac9411b67630e3718f709916f0ae9a0d0989b40',
  'massive 1': '4229720c2ec9c375b1fa84dbd3e36324fde00614a6a42bb760604d44fa92b839',
}

type Page = { readonly params: unknown; readonly body: Uint8Array }

/** Bodies that reach every branch of `records`; real ones first. */
const PAGES: Readonly<Record<string, () => Promise<readonly Page[]>>> = {
  alpaca: alpacaPages,
  fred: fredPages,
  massive: massivePages,
}

async function alpacaPages(): Promise<readonly Page[]> {
  const simulator = await startAlpacaSimulator({ series: loadSp500() })
  const pages: Page[] = []
  for (const timeframe of ['1d', '1m']) {
    const params = { symbol: 'SPX', timeframe }
    const headers = { 'APCA-API-KEY-ID': 'a', 'APCA-API-SECRET-KEY': 'b' }
    pages.push({ params, body: await firstPage('alpaca', { url: simulator.url, params, headers }) })
  }
  await simulator.close()
  const spoiled = [
    { t: '2019-03-08T05:00:00Z', o: '1', h: 1, l: 1, c: 1, v: 1 },
    { t: 'never', o: 1, h: 1, l: 1, c: 1, v: 1 },
    { t: '2019-03-08T05:00:00Z', o: 1, h: 1, l: 1, v: null, n: null, vw: null, x: 1 },
    { t: '2019-03-08T05:00:00Z', o: 1, h: 1, l: 1, c: 1, v: null, n: null, vw: null, x: 1 },
  ]
  const body = new TextEncoder().encode(JSON.stringify({ bars: { SPX: spoiled }, next_page_token: null }))
  return [...pages, { params: { symbol: 'SPX', timeframe: '1d' }, body }]
}

async function fredPages(): Promise<readonly Page[]> {
  const now = () => Date.parse('2026-03-02T18:00:00Z')
  const simulator = await startFredSimulator({ series: loadObservationSeries(), now })
  const params = { series_id: 'DGS10' }
  const query = { api_key: 'a'.repeat(32) }
  const real = { params, body: await firstPage('fred', { url: simulator.url, params, query }) }
  await simulator.close()
  const good = { realtime_start: '2026-03-02', realtime_end: '9999-12-31', date: '2019-03-08', value: '-1.5e-3', x: 1 }
  const spoiled = [
    good,
    { ...good, value: '.' },
    { ...good, value: '' },
    { ...good, value: 1.5 },
    { ...good, value: null },
    { ...good, value: '9007199254740993' },
    { ...good, value: '1e999' },
    { ...good, date: '2019-02-30' },
    null,
  ]
  const body = new TextEncoder().encode(JSON.stringify({ observations: spoiled }))
  return [real, { params: { series_id: 'DGS10', units: 'chg', subject: 'DGS10@chg' }, body }]
}

async function massivePages(): Promise<readonly Page[]> {
  const symbols = ['TSLA', 'I:NDX', 'C:XAUUSD']
  const limits = { requestsPerMinute: 100 }
  const simulator = await startMassiveSimulator({ series: symbols.map((symbol) => loadSp500(symbol)), limits })
  const pages: Page[] = []
  for (const symbol of symbols) {
    for (const timeframe of ['1d', '15m']) {
      const params = { symbol, timeframe }
      const headers = { authorization: 'Bearer a' }
      pages.push({ params, body: await firstPage('massive', { url: simulator.url, params, headers }) })
    }
  }
  await simulator.close()
  const good = { t: Date.parse('2019-03-08T05:00:00Z'), o: 1, h: 1, l: 1, c: 1, v: null, n: null, vw: null, x: 1 }
  const spoiled = [
    good,
    { ...good, t: null },
    { ...good, t: '2019-03-08' },
    { ...good, t: -1 },
    { ...good, t: good.t + 1 },
    { ...good, o: '1' },
    { ...good, c: null },
    { ...good, n: 1.5 },
    null,
  ]
  const body = new TextEncoder().encode(JSON.stringify({ ticker: 'TSLA', results: spoiled }))
  const split = { symbol: 'TSLA', adjustment: 'split', subject: 'TSLA@split' }
  for (const timeframe of ['1d', '1m']) pages.push({ params: { ...split, timeframe }, body })
  return pages
}

/** Five days of a simulator, which asks for the credentials that are given in `headers` or `query`. */
async function firstPage(
  id: string,
  asked: {
    readonly url: string
    readonly params: unknown
    readonly headers?: Readonly<Record<string, string>>
    readonly query?: Readonly<Record<string, string>>
  },
): Promise<Uint8Array> {
  const day = instantOfDate(parseDate('2019-03-08') as number)
  const bound = (SOURCES.get(id) as ProviderSource).bind(asked.params)
  const { path, query } = bound.request({ lo: day, hi: day + 5n * 86_400_000_000n }, null)
  const search = new URLSearchParams({ ...query, ...asked.query })
  const answer = await fetch(`${asked.url}${path}?${search}`, { headers: { ...asked.headers } })
  return new Uint8Array(await answer.arrayBuffer())
}

describe('a change of what a source makes of its pages', () => {
  test.each([...SOURCES.values()])('asks for a higher transform version: $id', async (source) => {
    const { columns, key, contractVersion } = source.dataset
    const made: unknown[] = [{ columns, key, contractVersion }]
    const pages = await PAGES[source.id]?.()
    if (pages === undefined) throw new Error(`source ${source.id}: expected pages for its fingerprint, got none`)
    for (const { params, body } of pages) {
      const sink = createRecordSink(source.dataset)
      source.bind(params).records(body, sink)
      const { rows, rejects } = sink.finish()
      made.push({ rejects, rows: source.dataset.columns.map(({ name }) => [...(rows.columns[name] ?? [])]) })
    }
    const version = `${source.id} ${source.transformVersion}`
    const line = `'${version}': '${sha256Hex(storableJson(made))}'`
    expect(`'${version}': '${FINGERPRINTS[version]}'`, `a new version is the line ${line}`).toBe(line)
  })
})
