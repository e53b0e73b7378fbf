import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type AlpacaSimulatorOptions, startAlpacaSimulator } from '../../jobs/local/providers/alpaca.ts'
import type { Simulator } from '../../jobs/local/providers/simulator-server.ts'
import { loadSp500 } from '../../jobs/local/providers/sp500.ts'
import { QUEUES } from '../../shared/config/storage-names.ts'
import { createHttpClient, type HttpClientSettings } from '../../shared/http/client.ts'
import { planTick } from '../../shared/ingest/plan/plan-tick.ts'
import { sweep } from '../../shared/ingest/sweep.ts'
import { curate, land, type Worked, type WorkLimits } from '../../shared/ingest/work.ts'
import type { IoHook } from '../../shared/io-hook.ts'
import type { LogFields } from '../../shared/log/log.ts'
import { openPlatform, type Platform } from '../../shared/platform.ts'
import { sha256Hex } from '../../shared/sha256.ts'
import type { Source } from '../../shared/sources/contract.ts'
import { filesUnlikeTheirRaw } from './rebuilt-files.ts'

/** A stream of `streams.json`, as a person writes it. */
export type StreamEntry = Readonly<Record<string, unknown>>

/** Two years of daily bars in one window: two partitions, one page. */
export const TWO_YEARS: StreamEntry = {
  source: 'alpaca',
  dataset: 'bars',
  params: { symbol: 'SPX', timeframe: '1d' },
  origin: '2001-01-01',
  until: '2003-01-01',
  every: '15m',
}

export type BenchProvider = {
  readonly start: () => Promise<Simulator>
  /** Settings of its source: where it is, and who we are. */
  readonly settings: (url: string) => Readonly<Record<string, string>>
}

export type WorkbenchOptions = {
  readonly databaseUrl: string
  readonly storageConnectionString: string
  readonly streams?: readonly StreamEntry[]
  /** Of Alpaca's simulator, which is the provider unless `provider` names another. */
  readonly simulator?: Partial<AlpacaSimulatorOptions>
  readonly provider?: BenchProvider
  /** Instead of the platform's own way of asking: shorter waits, a provider that is given up on sooner. */
  readonly http?: Omit<HttpClientSettings, 'hook'>
  readonly limits?: Partial<Omit<WorkLimits, 'stop'>>
  readonly hook?: IoHook
  readonly sources?: ReadonlyMap<string, Source>
  readonly env?: Readonly<Record<string, string>>
  /** False where the test leaves damage in the lake: every other is verified when it is closed. */
  readonly verify?: boolean
}

export type DrainOptions = {
  /** Every message is handled twice. */
  readonly twice?: boolean
  /** Reorders what was received; the default is the order in which it came. */
  readonly order?: <T>(items: readonly T[]) => readonly T[]
  /** Messages handled at once. */
  readonly atOnce?: number
}

/** The platform on real services, one provider simulator, and hands to move it with. Close it. */
export type Workbench = {
  readonly platform: Platform
  readonly simulator: Simulator
  readonly logged: readonly LogFields[]
  readonly writeStreams: (streams: readonly StreamEntry[]) => Promise<void>
  readonly plan: () => ReturnType<typeof planTick>
  /** Hints count as lost at once. */
  readonly sweep: () => ReturnType<typeof sweep>
  readonly land: (body: unknown) => Promise<Worked>
  readonly curate: (body: unknown) => Promise<Worked>
  /** Handles messages of `land` and `curate` until none is left; returns what they led to. */
  readonly drain: (options?: DrainOptions) => Promise<readonly Worked[]>
  /** Plans, sweeps and drains until nothing is left to do, also what waits for its next attempt. */
  readonly settle: () => Promise<void>
  readonly query: <Row>(text: string, values?: readonly unknown[]) => Promise<Row[]>
  readonly close: () => Promise<void>
}

const LIMITS = { deadlineMs: 60_000, waitMsMax: 1_000 }
const SETTLE_ROUNDS_MAX = 50

export async function openWorkbench(options: WorkbenchOptions): Promise<Workbench> {
  const { verify = true } = options
  const folder = await mkdtemp(join(tmpdir(), 'tributary-streams-'))
  const streamsFile = join(folder, 'streams.json')
  const writeStreams = (streams: readonly StreamEntry[]) => writeFile(streamsFile, JSON.stringify({ streams }))
  await writeStreams(options.streams ?? [TWO_YEARS])
  const provider = options.provider ?? alpacaProvider(options.simulator)
  const simulator = await provider.start()
  const logged: LogFields[] = []
  const opened = openPlatform({
    env: {
      DATABASE_URL: options.databaseUrl,
      AzureWebJobsStorage: options.storageConnectionString,
      TRIBUTARY_STREAMS: streamsFile,
      ...provider.settings(simulator.url),
      ...options.env,
    },
    sink: (level, line) => logged.push({ level, ...line }),
    ...(options.hook === undefined ? {} : { hook: options.hook }),
    ...(options.sources === undefined ? {} : { sources: options.sources }),
  })
  const { http, hook } = options
  const ownHttp = http && createHttpClient({ ...http, ...(hook && { hook }) })
  const platform = ownHttp === undefined ? opened : { ...opened, http: ownHttp }
  await Promise.all([platform.raw.ensure(), platform.curated.ensure()])
  for (const queue of QUEUES) await platform.queues.ensure(queue)

  const limits = () => ({ ...LIMITS, ...options.limits, stop: new AbortController().signal })
  const handlers = {
    land: (body: unknown) => land(platform, body, limits()),
    curate: (body: unknown) => curate(platform, body, limits()),
  }
  const query = <Row>(text: string, values: readonly unknown[] = []) =>
    platform.db.query<Row>({ name: `test ${sha256Hex(text)}`.slice(0, 60), text }, values)

  const drain = async ({ twice = false, order = (items) => items, atOnce = 1 }: DrainOptions = {}) => {
    const worked: Worked[] = []
    for (;;) {
      const received = await receiveAll(platform)
      if (received.length === 0) return worked
      const todo = order(twice ? [...received, ...received] : received)
      for (let start = 0; start < todo.length; start += atOnce) {
        const batch = todo.slice(start, start + atOnce)
        worked.push(...(await Promise.all(batch.map(({ queue, body }) => handlers[queue](body)))))
      }
    }
  }

  return {
    platform,
    simulator,
    logged,
    writeStreams,
    plan: () => planTick(platform),
    sweep: () => sweep(platform, { hintStaleS: 0 }),
    ...handlers,
    drain,
    async settle() {
      for (let round = 0; round < SETTLE_ROUNDS_MAX; round++) {
        await query('update provenance.source_ingest set next_attempt_at = null where next_attempt_at is not null')
        await planTick(platform)
        await sweep(platform, { hintStaleS: 0 })
        await drain()
        const [active] = await query<{ count: number }>(
          `select count(*) from provenance.source_ingest where state in ('planned', 'landing', 'landed', 'curating')`,
        )
        if (active?.count === 0 && (await planTick(platform)).planned.length === 0) return
      }
      throw new Error(`workbench: expected to settle within ${SETTLE_ROUNDS_MAX} rounds`)
    },
    query,
    async close() {
      // L1, after whatever the test did to it.
      const unlike = verify ? await filesUnlikeTheirRaw(opened).catch((error: Error) => [error.message]) : []
      await platform.close()
      await simulator.close()
      await rm(folder, { recursive: true, force: true })
      if (unlike.length > 0) throw new Error(`files unlike their raw pages: ${unlike.join(', ')}`)
    },
  }
}

function alpacaProvider(options: Partial<AlpacaSimulatorOptions> = {}): BenchProvider {
  return {
    start: () => startAlpacaSimulator({ series: loadSp500(), ...options }),
    settings: (url) => ({
      ALPACA_BASE_URL: url,
      ALPACA_KEY_ID: 'test-key-id',
      ALPACA_SECRET_KEY: 'test-secret-key',
    }),
  }
}

async function receiveAll(platform: Platform) {
  const all: { queue: 'land' | 'curate'; body: unknown }[] = []
  for (const queue of ['land', 'curate'] as const) {
    const messages = await platform.queues.receive(queue, { countMax: 32, visibilitySeconds: 300 })
    for (const message of messages) {
      await platform.queues.remove(queue, message)
      all.push({ queue, body: asHostGives(message.body ?? '') })
    }
  }
  return all
}

/** Parsed where it is JSON, text where not. */
function asHostGives(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch {
    return body
  }
}
