import { describe, expect, onTestFinished, test } from 'vitest'
import type { Fault } from '../../jobs/local/providers/faults.ts'
import { DatabaseUnavailableError } from '../../shared/errors.ts'
import { expireOwnLeases } from '../../shared/ingest/sweep.ts'
import type { IoHook } from '../../shared/io-hook.ts'
import { readStatus } from '../../shared/ops/status.ts'
import { contentOf, ingestsOf, openAlerts } from '../conformance/source-fixtures.ts'
import { useTestEnvironment } from '../support/environment.ts'
import {
  openWorkbench,
  type StreamEntry,
  TWO_YEARS,
  type Workbench,
  type WorkbenchOptions,
} from '../support/workbench.ts'

const TWO_MONTHS: StreamEntry = { ...TWO_YEARS, origin: '2001-12-01', until: '2002-02-01' }
const RECORDS = 41
const ONE_DAY: StreamEntry = {
  ...TWO_YEARS,
  params: { symbol: 'SPX', timeframe: '1m' },
  origin: '2019-07-01',
  until: '2019-07-02',
}

/** Two bad records: the fourth of the first page, the first of the second. */
const TWO_BAD: readonly Fault[] = [
  { kind: 'field', change: 'drop', field: 'c', row: 3 },
  { kind: 'field', change: 'string', field: 'o', row: 0 },
]
const PAGES_OF_15 = { limits: { pageRecordsGiven: 15 } }

/** A page of minute bars of which the first `bad` have no close. */
function page(records: number, bad: number): Fault {
  const bars = Array.from({ length: records }, (_, minute) => {
    const t = new Date(Date.parse('2019-07-01T00:00:00Z') + minute * 60_000).toISOString().replace('.000', '')
    return { t, o: 1, h: 2, l: 1, ...(minute < bad ? {} : { c: 2 }) }
  })
  return { kind: 'body', body: JSON.stringify({ bars: { SPX: bars }, next_page_token: null }) }
}

async function rejectsOf(bench: Workbench) {
  return await bench.query<{ page: number; ordinal: number; code: string; detail: string; record: unknown }>(
    'select page_no as page, ordinal, code, detail, record from provenance.reject order by page_no, ordinal',
  )
}

describe('records that break their contract', () => {
  const environment = useTestEnvironment()
  const open = async (options: Partial<WorkbenchOptions> = {}) => {
    const bench = await openWorkbench({
      databaseUrl: await environment.newDatabase(),
      storageConnectionString: environment.newStorageAccount(),
      streams: [TWO_MONTHS],
      ...options,
    })
    onTestFinished(() => bench.close())
    return bench
  }

  test('are kept with their place, and the good rows beside them are published', async () => {
    const bench = await open({ simulator: { ...PAGES_OF_15, faults: TWO_BAD } })
    await bench.settle()
    expect(await rejectsOf(bench)).toEqual([
      {
        page: 0,
        ordinal: 3,
        code: 'missing',
        detail: 'close: expected a value, got none',
        record: {
          t: '2001-12-06T05:00:00Z',
          o: 1170.349976,
          h: 1173.349976,
          l: 1164.430054,
          v: 1487900000,
          n: 7439500,
          vw: expect.any(Number),
        },
      },
      {
        page: 1,
        ordinal: 0,
        code: 'wrong_type',
        detail: expect.stringMatching(/^open: expected a number, got "\d+\.\d+"$/),
        record: expect.objectContaining({ t: '2001-12-24T05:00:00Z' }),
      },
    ])
    const counts = { records: RECORDS, inserted: RECORDS - 2, rejected: 2 }
    expect(await ingestsOf(bench)).toEqual([{ state: 'published', epoch: 2, ...counts }])
    const { partitions } = await contentOf(bench)
    expect(Object.values(partitions).reduce((rows, file) => rows + file.rows, 0)).toBe(RECORDS - 2)
  })

  test('are alerted and make their stream partial, though its window is published', async () => {
    const bench = await open({ simulator: { ...PAGES_OF_15, faults: TWO_BAD } })
    await bench.settle()
    await bench.sweep()
    expect(await openAlerts(bench)).toEqual(['rejects alpaca/bars/SPX/1d'])
    expect((await readStatus(bench.platform.db)).openRejects).toBe(2)
    expect(await bench.query('select status from ingest.state')).toEqual([{ status: 'partial' }])
  })

  test.each<[string, number, number]>([
    ['a tenth of a percent of a thousand', 1_000, 1],
    ['a hundred', 999, 100],
    ['a fifth of few', 10, 2],
    ['one of five', 5, 1],
  ])('may be as many as %s', async (_what, records, bad) => {
    const bench = await open({ streams: [ONE_DAY], simulator: { faults: [page(records, bad)] } })
    await bench.settle()
    const counts = { records, inserted: records - bad, rejected: bad }
    expect(await ingestsOf(bench)).toEqual([{ state: 'published', epoch: 2, ...counts }])
  })

  test.each<[string, number, number]>([
    ['0.1 % of 1000', 1_000, 2],
    ['100', 999, 101],
    ['a fifth of 10', 10, 3],
    ['a fifth of 1', 1, 1],
  ])(
    'more than %s fail the ingest before anything is written, and it says which came first',
    async (limit, records, bad) => {
      const bench = await open({ streams: [ONE_DAY], simulator: { faults: [page(records, bad)] } })
      await bench.plan()
      expect(await bench.drain()).toEqual(['landed', 'failed'])
      const first = Array.from(
        { length: Math.min(3, bad) },
        (_, ordinal) => `page 0 record ${ordinal} missing: close: expected a value, got none`,
      )
      const error = `PermanentError: ingest …: expected at most ${limit} rejects, got ${bad} (${first.join('; ')})`
      expect(await ingestsOf(bench)).toEqual([{ state: 'failed', epoch: 2, attempts: 1, error, records }])
      const fetched = ['{["2019-07-01 00:00:00+00","2019-07-02 00:00:00+00")}']
      expect(await contentOf(bench)).toEqual({ partitions: {}, fetched, published: ['{}'] })
      expect(await rejectsOf(bench)).toEqual([])
      expect(await bench.query('select * from curated.partition_ingest')).toEqual([])
      const [stream] = (await readStatus(bench.platform.db)).streams
      expect(stream?.holes).toMatchObject([{ lo: '2019-07-01T00:00:00Z', hi: '2019-07-02T00:00:00Z' }])
    },
  )

  test('can be stored whatever is in them: NUL, half a surrogate pair, digits that no double holds', async () => {
    const good = (hour: string) => `{"t":"2019-07-01T${hour}:00:00Z","o":1,"h":1,"l":1,"c":1}`
    const hours = ['10', '11', '12', '13', '14', '15', '16', '17']
    const odd = '{"t":"\\u0000\\ud800","\\udc00\\u0000":1,"n":9007199254740993}'
    const body = `{"bars":{"SPX":[${[...hours.map(good), odd].join(',')}]},"next_page_token":null}`
    const bench = await open({ streams: [ONE_DAY], simulator: { faults: [{ kind: 'body', body }] } })
    await bench.settle()
    expect(await ingestsOf(bench)).toEqual([{ state: 'published', epoch: 2, records: 9, inserted: 8, rejected: 1 }])
    expect(await rejectsOf(bench)).toEqual([
      {
        page: 0,
        ordinal: 8,
        code: 'unreadable',
        detail: 'ts: expected an rfc 3339 instant, got "\\u0000\\ud800"',
        record: { t: '\uFFFD\uFFFD', '\uFFFD\uFFFD': 1, n: '9007199254740993' },
      },
    ])
  })

  test.each(['before', 'after'] as const)(
    'are stored once although the publishing statement failed %s it took effect and every message came twice',
    async (when) => {
      const bench = await open({ simulator: { ...PAGES_OF_15, faults: TWO_BAD }, hook: failPublishOnce(when) })
      await bench.plan()
      await expect(bench.drain({ twice: true })).rejects.toThrow(`publish failed ${when}`)
      await expireOwnLeases(bench.platform)
      await bench.sweep()
      await bench.drain({ twice: true })
      expect((await rejectsOf(bench)).map(({ page, ordinal }) => [page, ordinal])).toEqual([
        [0, 3],
        [1, 0],
      ])
      const [ingest] = await ingestsOf(bench)
      expect(ingest).toMatchObject({ state: 'published', records: RECORDS, inserted: RECORDS - 2, rejected: 2 })
    },
  )
})

function failPublishOnce(when: 'before' | 'after'): IoHook {
  let failed = false
  return async (operation, run) => {
    if (failed || operation.subject !== 'publish_ingest') return run()
    failed = true
    if (when === 'after') await run()
    throw new DatabaseUnavailableError(`publish failed ${when}`)
  }
}
