import { describe, expect, test } from 'vitest'
import { ConfigError } from '../../shared/errors.ts'
import { parseStreamFile } from '../../shared/ingest/plan/stream-file.ts'
import { parseInstant } from '../../shared/instant.ts'
import { alpaca } from '../../shared/sources/alpaca/alpaca.ts'
import type { Source } from '../../shared/sources/contract.ts'
import { SOURCES } from '../../shared/sources/registry.ts'

const GOOD = {
  source: 'alpaca',
  dataset: 'bars',
  params: { symbol: 'TSLA', timeframe: '1d' },
  origin: '2016-01-04',
  every: '15m',
}
const MINUTES = { symbol: 'TSLA', timeframe: '1m' }

const sources = [...SOURCES.keys()].join(', ')
const durations = 'expected a duration such as 90s, 15m, 2h or 3d'
const instants = 'expected a date or an instant that exists'

/** A stream of the file with one mistake, and exactly the problems that are reported of it. */
const BAD: readonly (readonly [name: string, stream: unknown, ...problems: string[]])[] = [
  ['no object', null, 'streams[0]: Invalid input: expected object, received null'],
  [
    'nothing of what is required',
    {},
    'streams[0].source: Invalid input: expected string, received undefined',
    'streams[0].dataset: Invalid input: expected string, received undefined',
    'streams[0].params: Invalid input: expected record, received undefined',
    'streams[0].origin: Invalid input: expected string, received undefined',
    'streams[0].every: Invalid input: expected string, received undefined',
  ],
  ['an unknown source', { ...GOOD, source: 'alpacca' }, `streams[0].source: expected one of ${sources}, got "alpacca"`],
  [
    'a dataset that the source does not have',
    { ...GOOD, dataset: 'plays' },
    'streams[0].dataset: expected bars of source alpaca, got "plays"',
  ],
  ['a day that does not exist', { ...GOOD, origin: '2021-02-30' }, `streams[0].origin: ${instants}, got "2021-02-30"`],
  [
    'a month that does not exist',
    { ...GOOD, origin: '2021-13-01' },
    `streams[0].origin: ${instants}, got "2021-13-01"`,
  ],
  ['a year before the first', { ...GOOD, origin: '0000-01-01' }, `streams[0].origin: ${instants}, got "0000-01-01"`],
  ['a date of words', { ...GOOD, until: 'tomorrow' }, `streams[0].until: ${instants}, got "tomorrow"`],
  [
    'an origin beside the granularity',
    { ...GOOD, origin: '2016-01-04T09:30:00Z' },
    "streams[0].origin: expected a multiple of 86400 s, the stream's granularity, got 2016-01-04T09:30:00Z",
  ],
  [
    'an until beside the granularity',
    { ...GOOD, params: MINUTES, until: '2016-02-01T00:00:30Z' },
    "streams[0].until: expected a multiple of 60 s, the stream's granularity, got 2016-02-01T00:00:30Z",
  ],
  [
    'an until before its origin',
    { ...GOOD, until: '2015-01-01' },
    'streams[0].until: expected an instant after origin, got 2015-01-01T00:00:00Z',
  ],
  [
    'an until at its origin',
    { ...GOOD, until: '2016-01-04' },
    'streams[0].until: expected an instant after origin, got 2016-01-04T00:00:00Z',
  ],
  ['an unknown key', { ...GOOD, evry: '15m' }, 'streams[0]: Unrecognized key: "evry"'],
  [
    'an unknown parameter',
    { ...GOOD, params: { ...GOOD.params, time: 1 } },
    'streams[0].params: Unrecognized key: "time"',
  ],
  ['a duration without unit', { ...GOOD, every: '15' }, `streams[0].every: ${durations}, got "15"`],
  ['a duration with a fraction', { ...GOOD, settleLag: '1.5h' }, `streams[0].settleLag: ${durations}, got "1.5h"`],
  ['a duration below zero', { ...GOOD, freshnessSla: '-1d' }, `streams[0].freshnessSla: ${durations}, got "-1d"`],
  [
    'a duration of centuries',
    { ...GOOD, every: '999999d' },
    'streams[0].every: expected a duration of at most 24855d, got "999999d"',
  ],
  [
    'a duration as a number',
    { ...GOOD, every: 900 },
    'streams[0].every: Invalid input: expected string, received number',
  ],
  ['an interval of nothing', { ...GOOD, every: '0s' }, 'streams[0].every: expected more than 0 s, got 0 s'],
  [
    'a lookback every moment',
    { ...GOOD, lookbackEvery: '0s' },
    'streams[0].lookbackEvery: expected more than 0 s, got 0 s',
  ],
  ['a lookback of words', { ...GOOD, lookback: 'all' }, `streams[0].lookback: ${durations}, got "all"`],
  [
    'less retention than a day of bars needs to be asked for',
    { ...GOOD, settleLag: '20m', retention: '25h' },
    'streams[0].retention: expected at least 1535m (settle lag, every, granularity and an hour in the queue), got 25h',
  ],
  [
    'a history of its own',
    { ...GOOD, history: 'all' },
    'streams[0].history: Invalid option: expected one of "live"|"backfill"',
  ],
  [
    'two symbols in one',
    { ...GOOD, params: { ...GOOD.params, symbol: 'TSLA,AAPL' } },
    'streams[0].params.symbol: expected 1 to 32 printable characters without space or comma, got "TSLA,AAPL"',
  ],
  [
    'a symbol that cannot be printed',
    { ...GOOD, params: { ...GOOD.params, symbol: 'TS\u0000LA' } },
    'streams[0].params.symbol: expected 1 to 32 printable characters without space or comma, got "TS\\u0000LA"',
  ],
  [
    'a timeframe that is none',
    { ...GOOD, params: { ...GOOD.params, timeframe: '2d' } },
    'streams[0].params.timeframe: Invalid option: expected one of "1m"|"5m"|"15m"|"1h"|"1d"',
  ],
]

const FILES: readonly (readonly [name: string, text: string, ...problems: string[]])[] = [
  ['nothing', '', 'streams file: expected json (Unexpected end of JSON input)'],
  ['json that was cut', '{"streams":[', 'streams file: expected json (Unexpected end of JSON input)'],
  ['a list', '[]', 'streams file: Invalid input: expected object, received array'],
  ['no streams', '{}', 'streams file.streams: Invalid input: expected array, received undefined'],
  [
    'streams that are no list',
    '{"streams":{}}',
    'streams file.streams: Invalid input: expected array, received object',
  ],
  ['another key beside streams', '{"streams":[],"version":1}', 'streams file: Unrecognized key: "version"'],
]

describe('streams.json', () => {
  test.each(BAD)('%s is refused', (_name, stream, ...problems) => {
    expect(problemsOf(JSON.stringify({ streams: [stream] }))).toEqual(problems)
  })

  test.each(FILES)('a file of %s is refused', (_name, text, ...problems) => {
    expect(problemsOf(text)).toEqual(problems)
  })

  test('a stream that is there twice is refused, however it is spelled', () => {
    const again = { ...GOOD, params: { feed: 'iex', timeframe: '1d', symbol: 'TSLA' }, every: '1h' }
    expect(problemsOf(JSON.stringify({ streams: [GOOD, again] }))).toEqual([
      'streams[1]: expected each stream once, got the same as streams[0] ({"adjustment":"raw","feed":"iex","symbol":"TSLA","timeframe":"1d"})',
    ])
  })

  test('two streams that would write the same partitions are refused', () => {
    const other = { ...GOOD, params: { ...GOOD.params, feed: 'sip' } }
    expect(problemsOf(JSON.stringify({ streams: [GOOD, other] }))).toEqual([
      'streams[1]: expected partitions of its own, got those of streams[0] (dataset=bars/timeframe=1d/symbol=TSLA/part-alpaca); give one of them another subject',
    ])
  })

  test('a subject of its own tells two feeds of one symbol apart', () => {
    const other = { ...GOOD, params: { ...GOOD.params, feed: 'sip', subject: 'TSLA@sip' } }
    expect(parse({ streams: [GOOD, other] }).map(({ subject }) => subject)).toEqual(['TSLA', 'TSLA@sip'])
  })

  test('all problems of all streams are reported together', () => {
    const streams = [{ ...GOOD, source: 'nobody' }, GOOD, { ...GOOD, every: 'often', extra: 1 }, GOOD]
    expect(problemsOf(JSON.stringify({ streams }))).toEqual([
      `streams[0].source: expected one of ${sources}, got "nobody"`,
      `streams[2].every: ${durations}, got "often"`,
      'streams[2]: Unrecognized key: "extra"',
      expect.stringMatching(/^streams\[3\]: expected each stream once, got the same as streams\[1\]/),
    ])
  })

  test("a good stream is read with its source's defaults filled in", () => {
    expect(parse({ streams: [{ ...GOOD, until: '2017-01-01T00:00:00+00:00', freshnessSla: '2d' }] })).toEqual([
      {
        source: 'alpaca',
        dataset: 'bars',
        params: { symbol: 'TSLA', timeframe: '1d', feed: 'iex', adjustment: 'raw' },
        paramsKey: '{"adjustment":"raw","feed":"iex","symbol":"TSLA","timeframe":"1d"}',
        subject: 'TSLA',
        timeframe: '1d',
        curatedRoot: 'dataset=bars/timeframe=1d/symbol=TSLA/part-alpaca',
        origin: parseInstant('2016-01-04T00:00:00Z'),
        until: parseInstant('2017-01-01T00:00:00Z'),
        history: 'live',
        intervalS: 900,
        granularityS: 86_400,
        maxWindowS: 1826 * 86_400,
        settleLagS: 4800,
        freshnessSlaS: 172_800,
        lookbackS: 7 * 86_400,
        lookbackEveryS: 86_400,
        retentionS: null,
        metadataRequired: false,
      },
    ])
  })

  test('lookback and retention are the source’s unless the stream says its own', () => {
    const own = { ...GOOD, lookback: '0s', lookbackEvery: '12h', retention: '730d' }
    expect(parse({ streams: [own] })).toMatchObject([
      { lookbackS: 0, lookbackEveryS: 43_200, retentionS: 730 * 86_400 },
    ])
    const keepsAYear = parse({ streams: [GOOD] }, new Map([['alpaca', keeping(365 * 86_400)]]))
    expect(keepsAYear).toMatchObject([{ lookbackS: 7 * 86_400, lookbackEveryS: 86_400, retentionS: 365 * 86_400 }])
  })

  test('a file without streams is good', () => {
    expect(parse({ streams: [] })).toEqual([])
  })
})

function parse(file: unknown, sources: ReadonlyMap<string, Source> = SOURCES) {
  return parseStreamFile(JSON.stringify(file), sources)
}

/** Alpaca, as if it kept no more than that. */
function keeping(retentionS: number): Source {
  return {
    ...alpaca,
    bind(params) {
      const bound = alpaca.bind(params)
      return { ...bound, consistency: { ...bound.consistency, retentionS } }
    },
  }
}

function problemsOf(text: string): readonly string[] {
  try {
    parseStreamFile(text, SOURCES)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  throw new Error('streams file: expected problems, got none')
}
