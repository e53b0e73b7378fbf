import { onTestFinished } from 'vitest'
import { type AlpacaSimulatorOptions, startAlpacaSimulator } from '../../jobs/local/providers/alpaca.ts'
import type { Simulator } from '../../jobs/local/providers/simulator-server.ts'
import { createRecordSink } from '../../shared/datasets/record-sink.ts'
import { createHttpClient } from '../../shared/http/client.ts'
import type { HttpAnswer } from '../../shared/http/exchange.ts'
import { type Instant, parseInstant } from '../../shared/instant.ts'
import { alpaca } from '../../shared/sources/alpaca/alpaca.ts'
import { type BoundProvider, httpRequestOf, type ProviderRequest, type Window } from '../../shared/sources/contract.ts'

const KEYS = { ALPACA_KEY_ID: 'key-1', ALPACA_SECRET_KEY: 's3cret' }
const PAGES_MAX = 100

const http = createHttpClient({ timeoutMs: 10_000, triesMax: 3, backoffBaseMs: 1 })

/** A simulator that ends with the test. */
export async function startAlpaca(options: AlpacaSimulatorOptions): Promise<Simulator> {
  const simulator = await startAlpacaSimulator(options)
  onTestFinished(() => simulator.close())
  return simulator
}

export function windowOf(lo: string, hi: string): Window {
  const at = (text: string) => parseInstant(`${text}T00:00:00Z`) as Instant
  return { lo: at(lo), hi: at(hi) }
}

/** One request as the source would send it, with the keys. */
export async function ask({ url }: Simulator, request: ProviderRequest): Promise<HttpAnswer> {
  return await http(httpRequestOf(url, request, alpaca.authorize(request, KEYS)), {
    signal: AbortSignal.timeout(30_000),
    bodyBytesMax: alpaca.bodyBytesMax,
  })
}

export type BarRow = { readonly ts: string; readonly date: number; readonly close: number; readonly volume: number }

/** All bars of a window, page by page as the platform asks for them; throws where a page is none. */
export async function fetchBars(simulator: Simulator, bound: BoundProvider, window: Window) {
  const rows: BarRow[] = []
  const pages: number[] = []
  let rejects = 0
  let token: string | null = null
  do {
    const answer: HttpAnswer = await ask(simulator, bound.request(window, token))
    const verdict = bound.page(answer)
    if (verdict.kind !== 'page') throw new Error(`page ${pages.length}: ${verdict.kind}: ${verdict.detail}`)
    const sink = createRecordSink(alpaca.dataset)
    bound.records(answer.body, sink)
    const page = sink.finish()
    rejects += page.rejects.length
    pages.push(verdict.records)
    for (let row = 0; row < page.rows.rowCount; row++) {
      const value = (name: string) => page.rows.columns[name]?.[row]
      rows.push({
        ts: new Date(Number((value('ts') as bigint) / 1000n)).toISOString(),
        date: Number(value('session_date')),
        close: Number(value('close')),
        volume: Number(value('volume')),
      })
    }
    token = verdict.next
  } while (token !== null && pages.length < PAGES_MAX)
  return { rows, pages, rejects }
}
