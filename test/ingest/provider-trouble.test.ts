import { describe, expect, onTestFinished, test } from 'vitest'
import type { Fault } from '../../jobs/local/providers/faults.ts'
import { alpaca } from '../../shared/sources/alpaca/alpaca.ts'
import { type ProviderSource, requestFingerprint } from '../../shared/sources/contract.ts'
import { contentOf, ingestsOf, passTime, QUICK, rawBlobs, statusesOf } from '../conformance/source-fixtures.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { openWorkbench, type StreamEntry, TWO_YEARS, type WorkbenchOptions } from '../support/workbench.ts'

const TWO_MONTHS: StreamEntry = { ...TWO_YEARS, origin: '2001-12-01', until: '2002-02-01' }
const RECORDS = 41
const ONE_GRANULE: StreamEntry = { ...TWO_YEARS, origin: '2001-12-03', until: '2001-12-04' }
const SECRETS = ['test-key-id', 'test-secret-key']

/** Alpaca with other limits of its own. */
const alpacaWith = (changes: Partial<ProviderSource>): ReadonlyMap<string, ProviderSource> =>
  new Map([['alpaca', { ...alpaca, ...changes }]])
/** A token for the first page, and the next one in a quarter of an hour. */
const ONE_TOKEN = alpacaWith({ budget: { ...alpaca.budget, capacity: 1, refillPerS: 1 / 900 } })
const body = (text: string): Fault => ({ kind: 'body', body: text })

describe('trouble with a provider', () => {
  const environment = useTestEnvironment()
  const newServices = async () => ({
    databaseUrl: await environment.newDatabase(),
    storageConnectionString: environment.newStorageAccount(),
  })
  const open = async (options: Partial<WorkbenchOptions> = {}) => {
    const bench = await openWorkbench({ ...(await newServices()), streams: [TWO_MONTHS], http: QUICK, ...options })
    onTestFinished(() => bench.close())
    return bench
  }
  const drainOnce = async (options: Partial<WorkbenchOptions>) => {
    const bench = await open(options)
    await bench.plan()
    return { bench, worked: await bench.drain() }
  }

  test('a quota that is gone for long gives the attempt back until the bucket has a token, and nobody is asked', async () => {
    const bench = await open()
    await bench.query(
      `insert into ingest.rate_budget (budget_key, capacity, refill_per_s, tokens) values ('alpaca', 20, 2.5, -10000)`,
    )
    await bench.plan()
    expect(await bench.drain()).toEqual(['given-back'])
    const error = expect.stringMatching(
      /^ThrottledError: page 0 of ingest …: no token left in the budget alpaca for \d+ ms$/,
    )
    expect(await ingestsOf(bench)).toEqual([{ state: 'planned', epoch: 1, error }])
    expect(statusesOf(bench)).toEqual([])
    const waits = await bench.query(
      `select next_attempt_at >= refilled_at + make_interval(secs => (1 - tokens) / refill_per_s) as "untilThereIsOne"
         from provenance.source_ingest, ingest.rate_budget`,
    )
    expect(waits).toEqual([{ untilThereIsOne: true }])
    await passTime(bench)
    await bench.settle()
    expect(await ingestsOf(bench)).toEqual([{ state: 'published', epoch: 3, records: RECORDS, inserted: RECORDS }])
  })

  test.each<[string, Partial<WorkbenchOptions>, string]>([
    ['our own tokens', { sources: ONE_TOKEN }, 'no token left in the budget alpaca for N ms'],
    [
      'what the provider allows',
      { simulator: { faults: [undefined, { kind: 'throttle', retryAfter: '600' }] } },
      'alpaca said to slow down (expected http 200, got 429: too many requests.), the next request may go in N ms',
    ],
    [
      'what the provider allows, said with HTTP 200',
      { simulator: { faults: [undefined, body('{"code":42910000,"message":"slow down"}')] } },
      'expected bars, got http 200 with code N: slow down',
    ],
  ])('a quota gone in the middle of a chain, %s, splits the window', async (_what, options, detail) => {
    const services = await newServices()
    const simulator = { ...options.simulator, limits: { pageRecordsGiven: 15 } }
    const { bench, worked } = await drainOnce({ ...services, ...options, simulator })
    expect(worked).toEqual(['split'])
    const [parent] = (await ingestsOf(bench)).filter(({ state }) => state === 'cancelled')
    expect(String(parent?.error).replace(/\d{4,}/, 'N')).toBe(`split: page 1 of ingest …: ${detail}`)

    const later = await open(services)
    await passTime(later)
    await later.query('update ingest.rate_budget set tokens = 20')
    await later.settle()
    const halves = (await ingestsOf(later)).filter(({ state }) => state === 'published')
    expect(halves).toHaveLength(2)
    expect(halves.reduce((records, half) => records + Number(half.inserted), 0)).toBe(RECORDS)
  })

  test('one granule whose quota is gone in the middle of its chain starts again, and has spent no attempt', async () => {
    const faults: readonly Fault[] = [{ kind: 'empty-page' }, { kind: 'throttle', retryAfter: '600' }]
    const { bench, worked } = await drainOnce({ streams: [ONE_GRANULE], simulator: { faults } })
    expect(worked).toEqual(['given-back'])
    expect(await ingestsOf(bench)).toMatchObject([{ state: 'planned', epoch: 1 }])
    await passTime(bench)
    await bench.settle()
    expect(await ingestsOf(bench)).toEqual([{ state: 'published', epoch: 3, records: 1, inserted: 1 }])
  })

  test.each<[string, readonly string[], number]>([
    ['the same token', ['again'], 1],
    ['two tokens in turn', ['first', 'second'], 2],
  ])('a provider that names %s for ever is stopped', async (_what, tokens, pageNo) => {
    const faults = ({ count }: { readonly count: number }) =>
      body(JSON.stringify({ bars: { SPX: [] }, next_page_token: tokens[(count - 1) % tokens.length] }))
    const { bench, worked } = await drainOnce({ simulator: { faults } })
    expect(worked).toEqual(['quarantined'])
    const error = `ContractError: page ${pageNo} of ingest …: expected another page token, got one that was asked with before`
    expect(await ingestsOf(bench)).toEqual([{ state: 'quarantined', epoch: 1, attempts: 1, error }])
    expect(statusesOf(bench)).toHaveLength(pageNo + 1)
  })

  test('a window with more pages than it may have is split until its pieces fit, and they are all of it', async () => {
    const whole = await open()
    await whole.settle()
    const { bench, worked } = await drainOnce({
      sources: alpacaWith({ pagesMax: 2 }),
      simulator: { limits: { pageRecordsGiven: 10 } },
    })
    expect(worked).toEqual(['split'])
    await bench.settle()
    const ingests = await ingestsOf(bench)
    const split = ingests.filter(({ state }) => state === 'cancelled')
    expect(split[0]?.error).toBe('split: ingest …: expected at most 2 pages, the provider has more')
    expect(ingests.filter(({ state }) => state === 'published').length).toBe(split.length + 1)
    expect(await contentOf(bench)).toEqual(await contentOf(whole))
  })

  test('one granule with more pages than it may have waits for a person', async () => {
    const faults = (): Fault => ({ kind: 'empty-page' })
    const { bench, worked } = await drainOnce({
      streams: [ONE_GRANULE],
      sources: alpacaWith({ pagesMax: 2 }),
      simulator: { faults },
    })
    expect(worked).toEqual(['quarantined'])
    const error = 'WindowTooLargeError: ingest …: expected at most 2 pages, the provider has more'
    expect(await ingestsOf(bench)).toEqual([{ state: 'quarantined', epoch: 1, attempts: 1, error }])
  })

  test.each([
    ['compressed', true],
    ['plain', false],
  ])('a body over the limit is not read to its end: quarantined (%s)', async (_what, compress) => {
    const { bench, worked } = await drainOnce({
      sources: alpacaWith({ bodyBytesMax: 1_000 }),
      simulator: { compress },
    })
    expect(worked).toEqual(['quarantined'])
    const error = expect.stringMatching(/^ContractError: http:.*: body: expected at most 1000 bytes, got more$/)
    expect(await ingestsOf(bench)).toEqual([{ state: 'quarantined', epoch: 1, attempts: 1, error }])
    expect(await rawBlobs(bench)).toEqual([])
  })

  test('without a credential nobody is asked and nothing is paused; with it the ingest goes on', async () => {
    const services = await newServices()
    const { bench, worked } = await drainOnce({ ...services, env: { ALPACA_SECRET_KEY: '' } })
    expect(worked).toEqual(['given-back'])
    const error = 'ConfigError: source alpaca: expected the settings ALPACA_SECRET_KEY, got none'
    expect(await ingestsOf(bench)).toEqual([{ state: 'planned', epoch: 1, error }])
    expect(statusesOf(bench)).toEqual([])
    expect(await bench.query('select paused, paused_reason as reason from ingest.stream')).toEqual([
      { paused: false, reason: null },
    ])
    const mended = await open(services)
    await mended.settle()
    expect(await ingestsOf(mended)).toEqual([{ state: 'published', epoch: 3, records: RECORDS, inserted: RECORDS }])
  })

  test('raw is written before parse: one blob for every 2xx answer, byte for byte, that says all about itself', async () => {
    const bar = '{"t":"2001-12-03T05:00:00Z", "o":1.50,"h":2e0,"l":1,"c":2,"note":"\\u0000 Åß😀"}'
    const first = `\uFEFF{"bars":{"SPX":[${bar}]},\r\n"next_page_token":"second/+="}\n`
    const hidden = '{"code":50010000,"message":"internal server error"}'
    const last = '{"next_page_token":null,"bars":{"SPX":null}}'
    const bodies = [first, hidden, first, last]
    const bench = await open({ simulator: { faults: bodies.map(body) } })
    await bench.settle()
    const blobs = await rawBlobs(bench)
    expect(blobs.map((blob) => blob.body)).toEqual(bodies)
    expect(await ingestsOf(bench)).toEqual([{ state: 'published', epoch: 3, records: 1, inserted: 1 }])

    const window = { lo: 1_007_164_800_000_000n, hi: 1_012_521_600_000_000n }
    const bound = alpaca.bind(TWO_YEARS.params)
    const fingerprints = [null, 'second/+='].map((token) => requestFingerprint(bound.request(window, token)))
    const rows = await bench.query<{ path: string; known: object }>(
      `select path, jsonb_build_object('sourceingestid', source_ingest_id, 'epoch', epoch::text, 'pageno', page_no::text,
                'sha256', sha256, 'requestfingerprint', request_fingerprint,
                'observedat', to_char(observed_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) as known
         from provenance.raw_page order by epoch, page_no`,
    )
    const common = { stream: 'alpaca%2Fbars%2FSPX%2F1d', lo: '2001-12-01T00:00:00Z', hi: '2002-02-01T00:00:00Z' }
    expect(blobs.map(({ path, metadata }) => ({ path, metadata }))).toMatchObject(
      rows.map(({ path, known }) => ({ path, metadata: { ...known, ...common } })),
    )
    expect(blobs.map(({ metadata }) => metadata.requestfingerprint)).toEqual([...fingerprints, ...fingerprints])
    // A later page of one attempt wins a key: it is observed a microsecond later.
    const observed = await bench.query<{ micros: number }>(
      `select extract(microseconds from max(observed_at) - min(observed_at))::int as micros
         from provenance.raw_page group by epoch`,
    )
    expect(observed).toEqual([{ micros: 1 }, { micros: 1 }])
  })

  test('an error in which the provider quotes our secrets, or a NUL, is told without them', async () => {
    const message = `no bars for ${SECRETS.join(' with ')}\u0000\ud800`
    const faults: readonly Fault[] = [{ kind: 'error', status: 400, message }]
    const { bench, worked } = await drainOnce({ simulator: { faults } })
    expect(worked).toEqual(['failed'])
    const shown = 'no bars for [redacted] with [redacted]\uFFFD\uFFFD'
    const error = `PermanentError: page 0 of ingest …: expected http 200, got 400: ${shown}`
    expect(await ingestsOf(bench)).toEqual([{ state: 'failed', epoch: 1, attempts: 1, error }])
  })

  test('no secret is in a path, in metadata, in a log line or in the database', async () => {
    const message = `wrong key ${SECRETS.join(' ')}`
    const trouble: readonly Fault[] = [
      { kind: 'error', status: 500, message },
      { kind: 'error', status: 500, message },
      { kind: 'error', status: 500, message },
      { kind: 'latency', ms: 1 },
      { kind: 'throttle', retryAfter: '1' },
    ]
    const bench = await open({ simulator: { faults: trouble } })
    await bench.settle()
    bench.simulator.setFaults([{ kind: 'error', status: 401, message }])
    await bench.writeStreams([TWO_MONTHS, { ...TWO_YEARS, params: { symbol: 'SPX', timeframe: '1h' } }])
    await bench.plan()
    await bench.drain()
    await bench.sweep()
    const told = [JSON.stringify(bench.logged)]
    for (const { path, metadata } of await rawBlobs(bench)) told.push(path, JSON.stringify(metadata))
    for (const table of await tablesOf(bench)) {
      for (const { row } of await bench.query<{ row: string }>(`select t::text as row from ${table} t`)) told.push(row)
    }
    expect(bench.simulator.requests.some(({ headers }) => headers['apca-api-secret-key'] === SECRETS[1])).toBe(true)
    expect(told.length).toBeGreaterThan(20)
    expect(told.filter((text) => SECRETS.some((secret) => text.includes(secret)))).toEqual([])
  })
})

async function tablesOf({ query }: { readonly query: <Row>(text: string) => Promise<Row[]> }) {
  const rows = await query<{ name: string }>(
    `select format('%I.%I', table_schema, table_name) as name from information_schema.tables
      where table_schema not in ('pg_catalog', 'information_schema') and table_type = 'BASE TABLE'`,
  )
  return rows.map(({ name }) => name)
}
