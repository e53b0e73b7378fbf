import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startAlpacaSimulator } from '../../jobs/local/providers/alpaca.ts'
import { loadSp500 } from '../../jobs/local/providers/sp500.ts'
import { startApplicationProcess } from '../support/application-process.ts'

// Of every series that the simulators serve: bars are real, observations are generated on the same calendar.
const STREAMS = [
  'alpaca/bars/SPX/1d           5,105  21     2000-01-03 … 2020-04-18  nothing',
  'fred/observations/DGS10      5,295  21     2000-01-03 … 2020-04-18  nothing',
  'fred/observations/NASDAQCOM  5,295  21     2000-01-03 … 2020-04-18  nothing',
].join('\n')

describe('npm start', () => {
  let folder = ''
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tributary-start-'))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))
  const once = async (env: Readonly<Record<string, string>> = {}, args = ['--once']) => {
    const application = startApplicationProcess({ TRIBUTARY_DATA_DIR: join(folder, "data of O'Neill"), ...env }, args)
    return { code: (await application.ended).code, output: application.output() }
  }

  test('publishes the 5,105 daily bars and both series on an empty folder, and the DuckDB line that it prints reads them', async () => {
    const { code, output } = await once()
    expect(output).toContain(
      'functions   curate, land, metadata, plan-ingests, plan-lookbacks, quarantine-land, quarantine-curate, quarantine-metadata, status, sweep, and 23 routes of the metadata service',
    )
    expect(output).toContain(STREAMS)
    expect(output).toContain('everything that is due is published')
    expect(code).toBe(0)

    const query = /^ {2}(select .+;)$/m.exec(output)?.[1] ?? ''
    const duckdb = await (await DuckDBInstance.create()).connect()
    const rows = (await duckdb.runAndReadAll(query)).getRowObjectsJson()
    expect(rows).toEqual([
      { symbol: 'SPX', rows: '5105', first: '2000-01-03 00:00:00+00', last: '2020-04-17 00:00:00+00' },
    ])
    duckdb.closeSync()
  })

  test('started again it goes on from the checkpoint: no window is planned, no row is added', async () => {
    const { code, output } = await once()
    expect(output).toContain(STREAMS)
    expect(output).toContain('progress    7 windows published, 0 under way, 15695 rows')
    expect(output.match(/^progress/gm)).toHaveLength(1)
    expect(code).toBe(0)
  })

  test('keeps running without --once, answers at the status address, and ends with 143 when it is told to stop', async () => {
    const application = startApplicationProcess({ TRIBUTARY_DATA_DIR: join(folder, "data of O'Neill") }, [])
    await application.printed(/status +http\S+/)
    const address = /status +(http\S+)/.exec(application.output())?.[1] ?? ''
    const status = (await (await fetch(address)).json()) as { streams: unknown[]; alerts: unknown[] }
    expect(status.streams).toMatchObject([
      {
        stream: 'alpaca/bars/SPX/1d',
        checkpoint: '2020-04-18T00:00:00Z',
        head: '2020-04-18T00:00:00Z',
        rows: 5105,
        holes: [],
        lastError: null,
      },
      { stream: 'fred/observations/DGS10', head: '2020-04-18T00:00:00Z', rows: 5295, holes: [] },
      { stream: 'fred/observations/NASDAQCOM', head: '2020-04-18T00:00:00Z', rows: 5295, holes: [] },
    ])
    expect(status.alerts).toEqual([])
    application.child.kill('SIGTERM')
    expect((await application.ended).code).toBe(143)
  })

  const USAGE: readonly (readonly [
    what: string,
    env: Readonly<Record<string, string>>,
    args: string[],
    output: string,
  ])[] = [
    ['an unknown option', {}, ['--onec'], "Unknown option '--onec'"],
    [
      'half a key',
      { ALPACA_KEY_ID: 'x' },
      ['--once'],
      'ALPACA_KEY_ID, ALPACA_SECRET_KEY: expected both or neither, got one',
    ],
    [
      'a port that is none',
      { TRIBUTARY_PORT: '99999' },
      ['--once'],
      'TRIBUTARY_PORT: expected a port from 0 to 65535, got "99999"',
    ],
    [
      'a log level that is none',
      { TRIBUTARY_LOG_LEVEL: 'loud' },
      ['--once'],
      'TRIBUTARY_LOG_LEVEL: expected one of debug, info, warn, error, got "loud"',
    ],
    [
      'a streams file that is not there',
      { TRIBUTARY_STREAMS: 'nowhere.json' },
      ['--once'],
      'streams file: expected to read ',
    ],
  ]
  test.each(USAGE)('ends with 2 and one clear sentence for %s', async (_what, env, args, expected) => {
    const { code, output } = await once(env, args)
    expect(output).toContain(expected)
    expect(output).not.toMatch(/^ {4}at /m)
    expect(code).toBe(2)
  })

  test('with the key of one provider it pulls from there, and the streams of the other wait for theirs', async () => {
    const alpaca = await startAlpacaSimulator({
      series: loadSp500(),
      keys: { id: 'my-key-id', secret: 'my-secret-key' },
    })
    const streams = [
      {
        source: 'alpaca',
        dataset: 'bars',
        params: { symbol: 'SPX', timeframe: '1d' },
        origin: '2019-01-01',
        until: '2020-01-01',
        every: '1h',
      },
      {
        source: 'fred',
        dataset: 'observations',
        params: { series_id: 'DGS10' },
        origin: '2019-01-01',
        until: '2020-01-01',
        every: '1h',
      },
    ]
    const file = join(folder, 'streams.json')
    await writeFile(file, JSON.stringify({ streams }))
    const { code, output } = await once({
      TRIBUTARY_DATA_DIR: join(folder, 'one key'),
      TRIBUTARY_STREAMS: file,
      ALPACA_BASE_URL: alpaca.url,
      ALPACA_KEY_ID: 'my-key-id',
      ALPACA_SECRET_KEY: 'my-secret-key',
    })
    await alpaca.close()
    expect(output).toContain('no FRED_API_KEY: streams of fred wait for it')
    expect(output).toMatch(/^alpaca\/bars\/SPX\/1d +252 +1 +2019-01-01 … 2020-01-01 +nothing$/m)
    expect(output).toContain('source fred: expected the settings FRED_API_KEY, got none')
    expect(output).toContain('not everything is published: 1 windows missing, 0 streams paused')
    expect(output).not.toContain('my-secret-key')
    expect(code).toBe(1)
  })

  test('started again it reads again what is due, and waits for that', async () => {
    const alpaca = await startAlpacaSimulator({ series: loadSp500() })
    const stream = {
      source: 'alpaca',
      dataset: 'bars',
      params: { symbol: 'SPX', timeframe: '1d' },
      origin: '2020-01-02',
      until: '2020-04-18',
      every: '1d',
      // So long that the provider may still correct all of it.
      lookback: '24000d',
    }
    const file = join(folder, 'lookback.json')
    await writeFile(file, JSON.stringify({ streams: [stream] }))
    const env = {
      TRIBUTARY_DATA_DIR: join(folder, 'lookback'),
      TRIBUTARY_STREAMS: file,
      ALPACA_BASE_URL: alpaca.url,
      ALPACA_KEY_ID: 'my-key-id',
      ALPACA_SECRET_KEY: 'my-secret-key',
    }
    expect((await once(env)).code).toBe(0)
    const { code, output } = await once(env)
    await alpaca.close()
    const window = '2020-01-02T00:00:00Z to 2020-04-17T23:59:59Z'
    expect(alpaca.requests.map(({ query }) => `${query.start} to ${query.end}`)).toEqual([window, window])
    expect(output).toContain('progress    2 windows published, 0 under way, 74 rows')
    expect(code).toBe(0)
  })

  test('--help says what it does, its settings and its exit codes', async () => {
    const { code, output } = await once({}, ['--help'])
    expect(output).toMatch(/^npm start -- \[--once\] \[--help\]\n/)
    for (const word of ['TRIBUTARY_DATA_DIR', 'ALPACA_KEY_ID', 'Exit codes']) expect(output).toContain(word)
    expect(code).toBe(0)
  })
})
