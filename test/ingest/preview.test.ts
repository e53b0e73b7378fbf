import { afterEach, describe, expect, test } from 'vitest'
import { startFredSimulator } from '../../jobs/local/providers/fred.ts'
import { loadObservationSeries } from '../../jobs/local/providers/observation-series.ts'
import { ThrottledError } from '../../shared/errors.ts'
import { type PreviewRequest, previewStream } from '../../shared/ingest/land/preview.ts'
import { previewWindow } from '../../shared/ingest/land/preview-window.ts'
import { selectStream } from '../../shared/ingest/plan/select-streams.ts'
import { formatInstant, parseInstant } from '../../shared/instant.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { openWorkbench, TWO_YEARS, type Workbench, type WorkbenchOptions } from '../support/workbench.ts'

const SPX = 'alpaca/bars/SPX/1d'
const at = (date: string) => parseInstant(`${date}T00:00:00Z`) as bigint
const WEEK = { lo: at('2001-01-02'), hi: at('2001-01-09') }
const EVERYTHING = [
  'ingest.stream',
  'provenance.source_ingest',
  'provenance.raw_page',
  'provenance.reject',
  'curated.partition',
  'ops.audit',
  'ops.alert',
  'ops.pipeline_runs',
]

describe('a preview', () => {
  const environment = useTestEnvironment()
  const opened: Workbench[] = []
  afterEach(async () => {
    for (const bench of opened.splice(0)) await bench.close()
  })
  const open = async (options: Partial<WorkbenchOptions> = {}) => {
    const databaseUrl = await environment.newDatabase()
    const bench = await openWorkbench({
      databaseUrl,
      storageConnectionString: environment.newStorageAccount(),
      ...options,
    })
    opened.push(bench)
    await bench.plan()
    return bench
  }
  const preview = async (bench: Workbench, options: Partial<PreviewRequest> = {}) => {
    const stream = await selectStream(bench.platform.db, options.stream?.name ?? SPX)
    const request = { window: WEEK, pagesMax: 2, waitMsMax: 1_000, signal: new AbortController().signal, ...options }
    return previewStream(bench.platform, { ...request, stream })
  }
  const written = async (bench: Workbench) => {
    const rows: unknown[] = []
    for (const table of EVERYTHING) rows.push(await bench.query(`select * from ${table} order by 1`))
    for await (const { path } of bench.platform.raw.list('')) rows.push(path)
    for await (const { path } of bench.platform.curated.list('')) rows.push(path)
    return rows
  }

  test('shows the request without its secrets, the answer and its first rows', async () => {
    const bench = await open()
    const shown = await preview(bench)
    expect(shown).toMatchObject({
      stream: SPX,
      pages: [
        {
          status: 200,
          contentType: expect.stringContaining('application/json'),
          records: 5,
          verdict: 'page',
          problem: null,
        },
      ],
      records: 5,
      rowCount: 5,
      outside: 0,
      rejectCount: 0,
      cut: [],
    })
    expect(shown.pages[0]?.request.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/v2\/stocks\/bars\?symbols=SPX&/)
    expect(shown.rows[0]).toMatchObject({
      ts: '2001-01-02T00:00:00Z',
      session_date: '2001-01-02',
      open: 1320.280029,
      symbol: 'SPX',
      source: 'alpaca',
    })
    expect(JSON.stringify(shown, (_key, value) => (typeof value === 'bigint' ? String(value) : value))).not.toContain(
      'test-secret-key',
    )
  })

  test('writes nothing: no raw page, no row, no file', async () => {
    const bench = await open()
    const before = await written(bench)
    await preview(bench)
    expect(await written(bench)).toEqual(before)
  })

  test('takes its requests from the shared quota, and gives up where there is none', async () => {
    const bench = await open()
    await preview(bench)
    const [budget] = await bench.query<{ tokens: number; capacity: number }>(
      'select tokens, capacity from ingest.rate_budget',
    )
    expect(budget?.tokens).toBeLessThan(budget?.capacity ?? 0)
    await bench.query(`update ingest.rate_budget set blocked_until = now() + interval '1 hour'`)
    const asked = bench.simulator.requests.length
    await expect(preview(bench)).rejects.toThrow(
      /^quota of alpaca: expected a token within 1000 ms, there is none for \d+ ms$/,
    )
    expect(bench.simulator.requests.length).toBe(asked)
  })

  test('a provider that says to slow down is heard by every instance', async () => {
    const bench = await open({ simulator: { faults: [{ kind: 'throttle', retryAfter: '120' }] } })
    await expect(preview(bench)).rejects.toThrow(ThrottledError)
    const [budget] = await bench.query(
      `select blocked_until > now() + interval '100 seconds' as blocked from ingest.rate_budget`,
    )
    expect(budget).toEqual({ blocked: true })
  })

  test('names rejects with their reason and record', async () => {
    const bench = await open({ simulator: { faults: [{ kind: 'field', change: 'string', field: 'c', row: 1 }] } })
    const shown = await preview(bench)
    expect(shown).toMatchObject({ records: 5, rowCount: 4, rejectCount: 1 })
    expect(shown.rejects).toMatchObject([
      {
        page: 0,
        ordinal: 1,
        code: 'wrong_type',
        detail: expect.stringContaining('close: expected a number'),
        record: { t: expect.any(String) },
      },
    ])
  })

  test.each([
    ['has added', { change: 'extra', field: 'v' }, ['v_extra'], []],
    ['has renamed', { change: 'rename', field: 'vw' }, ['vw_renamed'], ['vwap']],
    ['no longer sends', { change: 'drop', field: 'n' }, [], ['trade_count']],
    ['sends as null', { change: 'null', field: 'v' }, [], ['volume']],
  ] as const)('finds the field that the provider %s', async (_what, fault, fields, columns) => {
    const bench = await open({ simulator: { faults: [{ kind: 'field', ...fault }] } })
    const plain = await open()
    const usual = await preview(plain)
    const shown = await preview(bench)
    expect(shown.fieldsNotRead).toEqual([...usual.fieldsNotRead, ...fields])
    expect(shown.columnsWithoutValue.filter((name) => !usual.columnsWithoutValue.includes(name))).toEqual(columns)
  })

  test('names the fields of another source that are not read', async () => {
    const bench = await open({
      streams: [
        {
          source: 'fred',
          dataset: 'observations',
          params: { series_id: 'DGS10' },
          origin: '2001-01-01',
          until: '2003-01-01',
          every: '1h',
        },
      ],
      provider: {
        start: () => startFredSimulator({ series: loadObservationSeries() }),
        settings: (url) => ({ FRED_BASE_URL: url, FRED_API_KEY: 'simulated0key0of0no0value0at0all' }),
      },
    })
    const stream = await selectStream(bench.platform.db, 'fred/observations/DGS10')
    const shown = await preview(bench, { stream })
    expect(shown.fieldsNotRead).toEqual(['realtime_start', 'realtime_end'])
    expect(shown.pages[0]?.request.url).not.toContain('simulated0key')
  })

  test('says what a limit has left out', async () => {
    const bench = await open({ simulator: { limits: { pageRecordsGiven: 2 } } })
    await bench.query('update ingest.stream set max_window_s = 86400 * 5')
    const shown = await preview(bench, { pagesMax: 1 })
    expect(formatInstant(shown.window.lo)).toBe('2001-01-04T00:00:00Z')
    expect(shown.cut).toEqual([
      'window: 2001-01-02T00:00:00Z … 2001-01-04T00:00:00Z is left out, one ingest has at most 5 days',
      'pages: the provider has more than the 1 that were asked for (--pages)',
    ])
    expect((await preview(bench, { pagesMax: 5 })).cut).toHaveLength(1)
  })

  test('shows an answer that is no page, without keys, and goes no further', async () => {
    const bench = await open({
      simulator: { faults: [{ kind: 'body', body: '<html>who is test-secret-key?</html>' }] },
    })
    const shown = await preview(bench)
    expect(shown.pages).toMatchObject([
      {
        verdict: 'broken',
        records: null,
        problem: expect.stringMatching(/html.*the body begins: <html>who is \[redacted\]\?<\/html>$/),
      },
    ])
    expect(shown.rowCount).toBe(0)
  })

  test('asks for the newest settled week unless told otherwise', async () => {
    const bench = await open({ streams: [{ ...TWO_YEARS, until: '2001-03-01' }] })
    const stream = await selectStream(bench.platform.db, SPX)
    const window = async (options: { from?: bigint; to?: bigint }) => {
      const { lo, hi } = await previewWindow(bench.platform.db, stream, options)
      return [formatInstant(lo), formatInstant(hi)]
    }
    expect(await window({})).toEqual(['2001-02-22T00:00:00Z', '2001-03-01T00:00:00Z'])
    expect(await window({ to: at('2001-01-03') })).toEqual(['2001-01-01T00:00:00Z', '2001-01-03T00:00:00Z'])
    await expect(window({ from: at('2002-01-01') })).rejects.toThrow(/^window of .*: expected from before to/)
  })
})
