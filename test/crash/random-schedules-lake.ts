import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startAlpacaSimulator } from '../../jobs/local/providers/alpaca.ts'
import { barSeriesOf, revisedSeries } from '../../jobs/local/providers/bar-series.ts'
import { loadSessions } from '../../jobs/local/providers/sp500.ts'
import { openContainer } from '../../shared/azure/blobs.ts'
import { openTable } from '../../shared/azure/tables.ts'
import { LATEST_TABLE } from '../../shared/config/storage-names.ts'
import type { RecordSink } from '../../shared/datasets/record-sink.ts'
import { createHttpClient } from '../../shared/http/client.ts'
import { type IoHook, withoutHook } from '../../shared/io-hook.ts'
import { openPlatform, type Platform } from '../../shared/platform.ts'
import { sha256Hex } from '../../shared/sha256.ts'
import type { ProviderSource, Source } from '../../shared/sources/contract.ts'
import { SOURCES } from '../../shared/sources/registry.ts'

/** What is ingested: small, so that faults meet each other. */
export type Shape = {
  readonly streams: number
  /** Of twenty days, so of about fourteen bars; one of them lies in two years, which are two files. */
  readonly windows: number
  readonly barsPerPage: number
  /** Some records break their contract. */
  readonly rejects: boolean
  /** The provider corrects what it said, and in the end all of it is read again. */
  readonly corrections: boolean
}

export type LakeServices = { readonly databaseUrl: string; readonly storageConnectionString: string }

/** One lake with its provider, and what opens workers on it. Close it. */
export type Lake = {
  readonly shape: Shape
  readonly openWorker: (instance: string, hook?: IoHook) => Platform
  /** What looks at it, and settles it in the end: its operations are never held up. */
  readonly platform: Platform
  readonly query: <Row>(text: string, values?: readonly unknown[]) => Promise<Row[]>
  /** From now on the provider says other volumes of some bars: others for every number. */
  readonly correct: (correction?: number) => void
  readonly close: () => Promise<void>
}

const ORIGIN = Date.parse('2019-11-22T00:00:00Z')
const WINDOW_DAYS = 20
const DAY_MS = 86_400_000

// Read once: a schedule takes less time than to read them.
const SESSIONS = loadSessions().filter(({ date }) => date * DAY_MS >= ORIGIN)

export async function openLake(shape: Shape, services: LakeServices): Promise<Lake> {
  const folder = await mkdtemp(join(tmpdir(), 'tributary-schedule-'))
  const streamsFile = join(folder, 'streams.json')
  await writeFile(streamsFile, JSON.stringify({ streams: streamsOf(shape) }))
  let corrected = 0
  const series = revisedSeries(barSeriesOf('SPX', SESSIONS), (bar) =>
    (bar.atS / 86_400) % 2 < 1 ? { ...bar, volume: bar.volume + corrected } : bar,
  )
  const limits = { pageRecordsGiven: shape.barsPerPage, requestsPerMinute: 1_000_000 }
  const simulator = await startAlpacaSimulator({ series, limits })
  const env = {
    DATABASE_URL: services.databaseUrl,
    AzureWebJobsStorage: services.storageConnectionString,
    TRIBUTARY_STREAMS: streamsFile,
    // Three attempts, and a person must look: faults bring ingests there, and replays bring them on.
    TRIBUTARY_QUARANTINE_ATTEMPTS: '3',
    TRIBUTARY_QUARANTINE_SECONDS: '0',
    ALPACA_BASE_URL: simulator.url,
    ALPACA_KEY_ID: 'test-key-id',
    ALPACA_SECRET_KEY: 'test-secret-key',
  }
  const sources = sourcesOf(shape)
  const openWorker = (instance: string, hook: IoHook = withoutHook) => {
    const opened = openPlatform({
      env: { ...env, TRIBUTARY_INSTANCE: instance },
      sink: () => undefined,
      hook,
      sources,
    })
    const http = createHttpClient({ hook, timeoutMs: 30_000, triesMax: 2, backoffBaseMs: 1, backoffMaxMs: 1 })
    return { ...opened, http }
  }
  const platform = openWorker('closer')
  await ensureAll(platform)
  return {
    shape,
    openWorker,
    platform,
    query: (text, values = []) => platform.db.query({ name: `test ${sha256Hex(text)}`.slice(0, 60), text }, values),
    correct(correction = 1) {
      if (shape.corrections) corrected = correction
    },
    async close() {
      await platform.close()
      await simulator.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function ensureAll({ raw, curated, queues, settings }: Platform): Promise<void> {
  const account = settings.lakeStorage
  await Promise.all([
    raw.ensure(),
    curated.ensure(),
    openContainer({ account, container: 'metadata', hook: withoutHook }).ensure(),
    openTable({ account, table: LATEST_TABLE }).ensure(),
    ...['land', 'curate', 'metadata'].map((queue) => queues.ensure(queue)),
  ])
}

function streamsOf({ streams, windows }: Shape) {
  const day = (windows: number) => new Date(ORIGIN + windows * WINDOW_DAYS * DAY_MS).toISOString().slice(0, 10)
  return Array.from({ length: streams }, (_, index) => ({
    source: 'alpaca',
    dataset: 'bars',
    params: { symbol: 'SPX', timeframe: '1d', subject: `S${index}` },
    origin: day(0),
    until: day(windows),
    every: '15m',
    // All that is published is read again whenever a lookback is due.
    lookback: '9000d',
  }))
}

/** Alpaca with small windows and a quota that is never gone: a split would make other ingests of the same windows. */
function sourcesOf({ rejects }: Shape): ReadonlyMap<string, Source> {
  const alpaca = SOURCES.get('alpaca')
  if (alpaca?.kind !== 'provider') throw new Error('sources: expected alpaca, a provider, got none')
  const small: ProviderSource = {
    ...alpaca,
    budget: { ...alpaca.budget, capacity: 1_000_000, refillPerS: 1_000_000 },
    bind(params) {
      const bound = alpaca.bind(params)
      return {
        ...bound,
        consistency: { ...bound.consistency, maxWindowS: WINDOW_DAYS * 86_400 },
        records: (body, into) => bound.records(body, rejects ? refusingSome(into) : into),
      }
    },
  }
  return new Map([...SOURCES, [small.id, small]])
}

/** The first day of a month is none. */
function refusingSome(into: RecordSink): RecordSink {
  return {
    ...into,
    column(name) {
      const column = into.column(name)
      if (name !== 'session_date') return column
      return {
        put(value) {
          const date = typeof value === 'number' ? new Date(value * DAY_MS) : null
          if (date !== null && date.getUTCDate() <= 2) into.fail('out_of_range', 'session_date: expected another day')
          column.put(value)
        },
      }
    },
  }
}
