import { describe, expect, test } from 'vitest'
import { startAlpacaSimulator } from '../../jobs/local/providers/alpaca.ts'
import { loadSp500 } from '../../jobs/local/providers/sp500.ts'
import { createRecordSink } from '../../shared/datasets/record-sink.ts'
import { instantOfDate, parseDate } from '../../shared/instant.ts'
import { storableJson } from '../../shared/json.ts'
import { sha256Hex } from '../../shared/sha256.ts'
import type { Source } from '../../shared/sources/contract.ts'
import { SOURCES } from '../../shared/sources/registry.ts'

/**
 * What each transform version makes of fixed pages, and the contract it makes it for. If this fails, `records`, the
 * contract or the key has changed: raise the source's `transformVersion` and add a line. Never change a line.
 */
const FINGERPRINTS: Readonly<Record<string, string>> = {
  'alpaca 1': '0bf0a01272ac78ad5e1a93f9524d82422ac5daf684459fb3ed822d33eb8cce04',
}

/** Bodies that reach every branch of `records`; real ones first. */
async function pagesOf(id: string): Promise<readonly { readonly params: unknown; readonly body: Uint8Array }[]> {
  if (id !== 'alpaca') throw new Error(`source ${id}: expected pages for its fingerprint, got none`)
  const simulator = await startAlpacaSimulator({ series: loadSp500() })
  const pages: { params: unknown; body: Uint8Array }[] = []
  for (const timeframe of ['1d', '1m']) {
    const params = { symbol: 'SPX', timeframe }
    const bound = (SOURCES.get(id) as Source).bind(params)
    const day = instantOfDate(parseDate('2019-03-08') as number)
    const { path, query } = bound.request({ lo: day, hi: day + 5n * 86_400_000_000n }, null)
    const headers = { 'APCA-API-KEY-ID': 'a', 'APCA-API-SECRET-KEY': 'b' }
    const answer = await fetch(`${simulator.url}${path}?${new URLSearchParams(query)}`, { headers })
    pages.push({ params, body: new Uint8Array(await answer.arrayBuffer()) })
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

describe('a change of what a source makes of its pages', () => {
  test.each([...SOURCES.values()])('asks for a higher transform version: $id', async (source) => {
    const { columns, key, contractVersion } = source.dataset
    const made: unknown[] = [{ columns, key, contractVersion }]
    for (const { params, body } of await pagesOf(source.id)) {
      const sink = createRecordSink(source.dataset)
      source.bind(params).records(body, sink)
      const { rows, rejects } = sink.finish()
      made.push({ rejects, rows: source.dataset.columns.map(({ name }) => [...(rows.columns[name] ?? [])]) })
    }
    expect(FINGERPRINTS[`${source.id} ${source.transformVersion}`]).toBe(sha256Hex(storableJson(made)))
  })
})
