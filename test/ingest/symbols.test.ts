import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DuckDBConnection } from '@duckdb/node-api'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createCuratedMirror } from '../../jobs/local/curated-mirror.ts'
import { loadSp500 } from '../../jobs/local/providers/sp500.ts'
import { ConfigError, toError } from '../../shared/errors.ts'
import { parseStreamFile } from '../../shared/ingest/plan/stream-file.ts'
import { decodePathPart } from '../../shared/path-part.ts'
import { httpRequestOf } from '../../shared/sources/contract.ts'
import { SOURCES } from '../../shared/sources/registry.ts'
import { curatedColumn, ingestsOf, rawBlobs } from '../conformance/source-fixtures.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { openWorkbench, type StreamEntry, TWO_YEARS, type Workbench } from '../support/workbench.ts'

const SYMBOLS = ['^NDX', 'BRK.B', 'BTC/USD', '../../x', 'CON', 'ÅÄÖ', 'NULL', 'GC=F']
const RECORDS = 20

const streamOf = (symbol: string): StreamEntry => ({
  ...TWO_YEARS,
  params: { symbol, timeframe: '1d' },
  origin: '2001-12-01',
  until: '2002-01-01',
})

describe('symbols that are no file names', () => {
  const environment = useTestEnvironment()
  let bench: Workbench
  let folder: string
  let duckdb: DuckDBConnection
  beforeAll(async () => {
    bench = await openWorkbench({
      databaseUrl: environment.databaseUrl,
      storageConnectionString: environment.storageConnectionString,
      streams: SYMBOLS.map(streamOf),
      simulator: { series: SYMBOLS.map((symbol) => loadSp500(symbol)) },
    })
    await bench.settle()
    folder = await mkdtemp(join(tmpdir(), 'tributary-symbols-'))
    const mirror = createCuratedMirror(bench.platform, folder)
    expect(await mirror.update()).toBe(SYMBOLS.length)
    duckdb = await DuckDBConnection.create()
    await duckdb.run(
      `create view lake as select * from read_parquet('${mirror.folder}/dataset=bars/timeframe=1d/**/*.parquet', hive_partitioning = true)`,
    )
  })
  afterAll(async () => {
    duckdb.closeSync()
    await bench.close()
    await rm(folder, { recursive: true, force: true })
  })

  test('the provider is asked for each as it is written', () => {
    const asked = bench.simulator.requests.map(({ query }) => query.symbols)
    expect(asked.sort()).toEqual([...SYMBOLS].sort())
  })

  test('each goes through the whole chain', async () => {
    const published = { state: 'published', epoch: 2, records: RECORDS, inserted: RECORDS }
    expect(await ingestsOf(bench)).toEqual(SYMBOLS.map(() => published))
  })

  test('raw and curated paths are plain names on any system, from which the symbol can be read', async () => {
    const paths = (await rawBlobs(bench)).map(({ path }) => path)
    for await (const { path } of bench.platform.curated.list('')) paths.push(path)
    const parts = paths.map((path) => /\/symbol=([^/]+)\/year=2001\//.exec(path)?.[1] ?? path)
    expect(parts.map(decodePathPart).sort()).toEqual([...SYMBOLS, ...SYMBOLS].sort())
    expect(paths.filter((path) => !/^[\w=%.~-]+(\/[\w=%.~-]+)*$/.test(path))).toEqual([])
    expect(paths.filter((path) => path.split('/').some((part) => /^\.+$|\.$|=(CON|NULL)$/i.test(part)))).toEqual([])
  })

  test('rows carry the symbol as it is written', async () => {
    const symbols = new Map<unknown, number>()
    for (const symbol of await curatedColumn(bench, 'symbol')) symbols.set(symbol, (symbols.get(symbol) ?? 0) + 1)
    expect([...symbols].sort()).toEqual(SYMBOLS.map((symbol) => [symbol, RECORDS]).sort())
  })

  test.each(SYMBOLS)('DuckDB reads the partition of %s back under that symbol', async (symbol) => {
    const reader = await duckdb.runAndReadAll(
      'select count(*)::int as count, min(year)::int as year, any_value(source) as source from lake where symbol = $1',
      [symbol],
    )
    expect(reader.getRowObjects()).toEqual([{ count: RECORDS, year: 2001, source: 'alpaca' }])
  })
})

const WINDOW = { lo: 1_546_300_800_000_000n, hi: 1_546_387_200_000_000n }
const [PRINTABLE, TICKER, SERIES] = [
  'symbol: expected 1 to 32 printable characters without space or comma',
  'symbol: expected a symbol such as TSLA, I:NDX or C:XAUUSD',
  'series_id: expected 1 to 40 letters, digits, dots, hyphens or underscores',
]

/** Of each source: what its parameters are for a symbol, where it stands in the request, and which it refuses. */
const OF_SOURCES = [
  {
    id: 'alpaca',
    params: (symbol: string) => ({ symbol, timeframe: '1d' }),
    asked: (url: URL) => url.searchParams.get('symbols'),
    refused: { '': PRINTABLE, 'S PX': PRINTABLE, 'SPX,QQQ': PRINTABLE, 'A\u0000': PRINTABLE },
  },
  {
    id: 'massive',
    params: (symbol: string) => ({ symbol, timeframe: '1d' }),
    asked: (url: URL) =>
      decodeURIComponent(/^\/v2\/aggs\/ticker\/([^/]+)\/range\/1\/day\//.exec(url.pathname)?.[1] ?? ''),
    refused: {
      'BTC/USD': TICKER,
      '../../x': TICKER,
      '..': TICKER,
      ÅÄÖ: TICKER,
      'GC=F': TICKER,
      'O:SPY': TICKER,
      '': TICKER,
    },
  },
  {
    id: 'fred',
    params: (symbol: string) => ({ series_id: symbol }),
    asked: (url: URL) => url.searchParams.get('series_id'),
    refused: { '^NDX': SERIES, 'BTC/USD': SERIES, '../../x': SERIES, ÅÄÖ: SERIES, 'GC=F': SERIES, '': SERIES },
  },
] as const

describe.each(OF_SOURCES)('symbols of $id', ({ id, params, asked, refused }) => {
  const source = SOURCES.get(id)
  const streamsFile = (symbol: string) => {
    const dataset = source?.dataset.name
    return JSON.stringify({
      streams: [{ source: id, dataset, params: params(symbol), origin: '2019-01-01', every: '1h' }],
    })
  }

  test.each(Object.entries(refused))('%j is refused with its place and what was expected', (symbol, expected) => {
    const problem = `streams[0].params.${expected}, got ${JSON.stringify(symbol)}`
    expect(() => parseStreamFile(streamsFile(symbol), SOURCES)).toThrow(problem)
  })

  test.each(SYMBOLS.filter((symbol) => !(symbol in refused)))('%s is asked for as it is written', (symbol) => {
    const [stream] = parseStreamFile(streamsFile(symbol), SOURCES)
    if (source?.kind !== 'provider') throw new Error(`source ${id}: expected a provider`)
    const request = source.bind(stream?.params).request(WINDOW, null)
    expect(asked(new URL(httpRequestOf('https://provider.test', request, request).url))).toBe(symbol)
    expect(stream?.curatedRoot).toMatch(/^[\w=%.~-]+(\/[\w=%.~-]+)*$/)
  })
})

describe('symbols that cannot be', () => {
  const environment = useTestEnvironment()
  const EXPECTED = 'expected 1 to 32 printable characters without space or comma'

  test('are refused with their place, what came and what was expected, and the streams there go on', async () => {
    const bench = await openWorkbench({
      databaseUrl: environment.databaseUrl,
      storageConnectionString: environment.storageConnectionString,
      streams: [streamOf('SPX')],
    })
    try {
      await bench.settle()
      await bench.writeStreams(['SPX', '', 'SPX,QQQ', 'S PX', 'SPX\n', 'X'.repeat(200)].map(streamOf))
      const error = await bench.plan().then(() => undefined, toError)
      expect(error).toBeInstanceOf(ConfigError)
      expect((error as ConfigError).problems).toEqual([
        `streams[1].params.symbol: ${EXPECTED}, got ""`,
        `streams[2].params.symbol: ${EXPECTED}, got "SPX,QQQ"`,
        `streams[3].params.symbol: ${EXPECTED}, got "S PX"`,
        `streams[4].params.symbol: ${EXPECTED}, got "SPX\\n"`,
        `streams[5].params.symbol: ${EXPECTED}, got "${'X'.repeat(59)}…`,
      ])
      expect(await bench.query('select subject, paused from ingest.stream')).toEqual([
        { subject: 'SPX', paused: false },
      ])
    } finally {
      await bench.close()
    }
  })
})
