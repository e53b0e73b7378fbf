import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ConfigError, toError } from '../../shared/errors.ts'
import { planTick } from '../../shared/ingest/plan/plan-tick.ts'
import { parseStreamFile } from '../../shared/ingest/plan/stream-file.ts'
import type { Platform } from '../../shared/platform.ts'
import { SOURCES } from '../../shared/sources/registry.ts'
import { useGround } from './ground.ts'

const TSLA = {
  source: 'alpaca',
  dataset: 'bars',
  params: { symbol: 'TSLA', timeframe: '1d' },
  origin: '2020-01-01',
  until: '2020-01-11',
  every: '15m',
}
const AAPL = { ...TSLA, params: { symbol: 'AAPL', timeframe: '1d' } }
const DURATION = 'expected a duration such as 90s, 15m, 2h or 3d'
const DEEP = `${'['.repeat(100_000)}${']'.repeat(100_000)}`

/** Keys of a stream that say how it is read again and for how long the provider keeps it, with one problem each. */
const BAD: readonly (readonly [keys: Readonly<Record<string, unknown>>, problem: string])[] = [
  [{ lookback: '1w' }, `streams[0].lookback: ${DURATION}, got "1w"`],
  [{ lookback: '-1d' }, `streams[0].lookback: ${DURATION}, got "-1d"`],
  [{ lookback: '24856d' }, 'streams[0].lookback: expected a duration of at most 24855d, got "24856d"'],
  [{ lookback: 7 }, 'streams[0].lookback: Invalid input: expected string, received number'],
  [{ lookbackEvery: 'daily' }, `streams[0].lookbackEvery: ${DURATION}, got "daily"`],
  [{ lookbackEvery: null }, 'streams[0].lookbackEvery: Invalid input: expected string, received null'],
  [{ lookbackEvery: '0d' }, 'streams[0].lookbackEvery: expected more than 0 s, got 0 s'],
  [{ lookbackevery: '1d' }, 'streams[0]: Unrecognized key: "lookbackevery"'],
  [{ retention: 'forever' }, `streams[0].retention: ${DURATION}, got "forever"`],
  [{ retention: '' }, `streams[0].retention: ${DURATION}, got ""`],
  [{ retention: null }, 'streams[0].retention: Invalid input: expected string, received null'],
  [{ retention: '24856d' }, 'streams[0].retention: expected a duration of at most 24855d, got "24856d"'],
  [
    { retention: '0s' },
    'streams[0].retention: expected at least 1595m (settle lag, every, granularity and an hour in the queue), got 0s',
  ],
  [
    { retention: '30d', settleLag: '60d' },
    'streams[0].retention: expected at least 87915m (settle lag, every, granularity and an hour in the queue), got 30d',
  ],
  [{ freshnessSla: '0s' }, 'streams[0].freshnessSla: expected more than 0 s, got 0 s'],
]

describe('I8 bad input is loud: streams.json', () => {
  const ground = useGround()
  let platform: Platform
  let folder: string
  let path: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tributary-streams-'))
    path = join(folder, 'streams.json')
    platform = ground.openWorker({ TRIBUTARY_STREAMS: path })
    await platform.queues.ensure('land')
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  test.each(BAD)('%j: refused with the key, what was expected and what came', (keys, problem) => {
    expect(problemsOf(JSON.stringify({ streams: [{ ...TSLA, ...keys }] }))).toEqual([problem])
  })

  test('a byte order mark before the file is no part of it', () => {
    expect(parseStreamFile(`\uFEFF${JSON.stringify({ streams: [TSLA] })}`, SOURCES)).toMatchObject([
      { subject: 'TSLA' },
    ])
  })

  test('a stream with parameters that are nested deeper than any stack is one bad stream, named beside the others', () => {
    const deep = JSON.stringify({ streams: [TSLA, AAPL, 0] }).replace('"AAPL"', DEEP)
    expect(problemsOf(deep)).toEqual([
      'streams[1].params.symbol: Invalid input: expected string, received array',
      'streams[2]: Invalid input: expected object, received number',
    ])
  })

  test('whatever the file is, one alert says it, the streams there go on, and a good file closes the alert', async () => {
    await writeFile(path, JSON.stringify({ streams: [TSLA] }))
    await planTick(platform)
    const files: readonly (readonly [text: string, problem: string])[] = [
      ['', 'streams file: expected json (Unexpected end of JSON input)'],
      ['\u0000', 'streams file: expected json (Unexpected token'],
      [
        `{"streams":[${JSON.stringify(TSLA).replace('"TSLA"', DEEP)}]}`,
        'streams[0].params.symbol: Invalid input: expected string, received array',
      ],
      [JSON.stringify({ streams: [{ ...TSLA, retention: '1h' }] }), 'streams[0].retention: expected at least'],
      [JSON.stringify({ streams: [TSLA, TSLA] }), 'streams[1]: expected each stream once, got the same as streams[0]'],
    ]
    for (const [text, problem] of files) {
      await writeFile(path, text)
      await ground.query(`update provenance.source_ingest set state = 'cancelled'`)
      expect(await planTick(platform).then(() => 'planned', toError)).toBeInstanceOf(ConfigError)
      const [alert] = await ground.query<{ problems: string[] }>(
        `select detail -> 'problems' as problems from ops.alert where kind = 'streams_file' and closed_at is null`,
      )
      expect(alert?.problems).toEqual([expect.stringContaining(problem)])
      // Of the stream that was there, what is missing was planned all the same.
      expect(await ground.query(`select count(*) as n from provenance.source_ingest where state = 'planned'`)).toEqual([
        { n: 1 },
      ])
    }
    await writeFile(path, JSON.stringify({ streams: [TSLA] }))
    await planTick(platform)
    const alerts = 'select count(*) as n, count(*) filter (where closed_at is null) as open from ops.alert'
    expect(await ground.query(alerts)).toEqual([{ n: 1, open: 0 }])
  })
})

function problemsOf(text: string): readonly string[] {
  try {
    parseStreamFile(text, SOURCES)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  throw new Error('streams file: expected problems, got none')
}
