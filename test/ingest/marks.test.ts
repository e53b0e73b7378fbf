import { afterEach, describe, expect, test } from 'vitest'
import { withdrawFile } from '../../shared/ingest/plan/withdraw-file.ts'
import { verifyPartitions } from '../../shared/ingest/repair/verify.ts'
import type { IoOperation } from '../../shared/io-hook.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { createPause } from '../support/pause.ts'
import type { WorkbenchOptions } from '../support/workbench.ts'
import { type LedgerBench, openLedger } from './ledger.ts'

const MONDAY = '2020-02-03T08:00:00Z'
const TUESDAY = '2020-02-04T08:00:00Z'
const FIRST = { lines: ['2020-01-02,1', '2020-01-03,1'], modifiedAt: MONDAY }
const SECOND = { lines: ['2020-01-02,2'], modifiedAt: TUESDAY }

const isPut = ({ action, subject }: IoOperation) => action === 'put' && subject.startsWith('curated/')
// Before the transaction that publishes, which a sleeper would hold until PostgreSQL ends it.
const isPublish = ({ subject }: IoOperation) => subject === 'begin'
const isParse = ({ action, subject }: IoOperation) => action === 'get' && subject.startsWith('raw/')

describe('marks: a version that is superseded or withdrawn leaves no row, whoever was writing it', () => {
  const environment = useTestEnvironment()
  const opened: LedgerBench[] = []
  afterEach(async () => {
    for (const { bench } of opened.splice(0)) await bench.close()
  })
  const services = async () => ({
    databaseUrl: await environment.newDatabase(),
    storageConnectionString: environment.newStorageAccount(),
  })
  const open = async (options: WorkbenchOptions) => {
    const books = await openLedger(options)
    opened.push(books)
    return books
  }
  /** Two workers on the same services: one that stops where `matches` says, and one that goes on. */
  const openTwo = async (matches: (operation: IoOperation) => boolean) => {
    const shared = await services()
    const pause = createPause(matches)
    return { slow: await open({ ...shared, hook: pause.hook }), fast: await open(shared), pause }
  }
  const withdraw = ({ bench, streamId }: LedgerBench, name: string) =>
    withdrawFile(bench.platform.db, { streamId, name, actor: 'test', reason: 'wrong books' })
  const messageOf = async ({ bench }: LedgerBench, lane: string) => {
    const [row] = await bench.query<{ id: string }>(
      `select source_ingest_id as id from provenance.source_ingest where lane = $1 and state in ('planned', 'landed')
        order by planned_at desc limit 1`,
      [lane],
    )
    return { v: 1, sourceIngestId: row?.id }
  }

  test.each([
    ['about to write the file', isPut],
    ['about to publish', isPublish],
  ])('a version that is overtaken when it is %s is cancelled and changes nothing', async (_moment, matches) => {
    const { slow, fast, pause } = await openTwo(matches)
    await slow.drop(FIRST)
    await slow.bench.land(await messageOf(slow, 'import'))
    pause.arm()
    const late = slow.bench.curate(await messageOf(slow, 'import'))
    await pause.reached
    await fast.drop(SECOND)
    await fast.bench.settle()
    expect(await fast.rows()).toEqual(['2020-01-02 2'])
    pause.resume()
    expect(await late).toBe('lease-lost')
    expect(await fast.versions()).toEqual(['books/2020.csv v1 cancelled by v2', 'books/2020.csv v2 published'])
    await fast.bench.settle()
    expect(await fast.rows()).toEqual(['2020-01-02 2'])
  })

  test('a version that writes its rows after it was superseded and before the rebuild leaves none of them', async () => {
    const { slow, fast, pause } = await openTwo(isPut)
    await slow.drop(FIRST)
    await slow.bench.land(await messageOf(slow, 'import'))
    pause.arm()
    const late = slow.bench.curate(await messageOf(slow, 'import'))
    await pause.reached
    await withdraw(fast, 'books/2020.csv')
    pause.resume()
    expect(await late).toBe('lease-lost')
    expect(await fast.rows()).toEqual(['2020-01-02 1', '2020-01-03 1'])
    await fast.bench.settle()
    expect(await fast.rows()).toEqual([])
  })

  test('a rebuild that read the list before the mark is followed by another', async () => {
    const { slow, fast, pause } = await openTwo(isParse)
    await fast.drop(FIRST)
    await fast.drop({ name: 'other.csv', lines: ['2020-05-01,5'], modifiedAt: MONDAY })
    await fast.bench.settle()
    await fast.drop(SECOND)
    await fast.bench.sweep()
    await fast.bench.land(await messageOf(fast, 'import'))
    await fast.bench.curate(await messageOf(fast, 'import'))
    pause.arm()
    const late = slow.bench.curate(await messageOf(slow, 'reprocess'))
    await pause.reached
    await withdraw(fast, 'other.csv')
    pause.resume()
    expect(await late).toBe('published')
    expect(await fast.rows()).toEqual(['2020-01-02 2', '2020-05-01 5'])
    await fast.bench.settle()
    expect(await fast.rows()).toEqual(['2020-01-02 2'])
    expect(await fast.rebuilds()).toHaveLength(2)
  })

  test('one rebuild that nobody has claimed is enough for many marks', async () => {
    const books = await open(await services())
    for (const name of ['a.csv', 'b.csv', 'c.csv']) {
      await books.drop({ name, lines: [`2020-01-0${name.charCodeAt(0) - 96},1`], modifiedAt: MONDAY })
    }
    await books.bench.settle()
    for (const name of ['a.csv', 'b.csv']) await withdraw(books, name)
    expect(await books.rebuilds()).toHaveLength(1)
    await books.bench.settle()
    expect(await books.rows()).toEqual(['2020-01-03 1'])
  })

  test('a rebuild that another writer overtakes reads the list and the file again, and loses no row', async () => {
    const { slow, fast, pause } = await openTwo(isPut)
    await fast.drop(FIRST)
    await fast.bench.settle()
    await withdraw(fast, 'books/2020.csv')
    pause.arm()
    const late = slow.bench.curate(await messageOf(slow, 'reprocess'))
    await pause.reached
    await fast.drop({ name: 'new.csv', lines: ['2020-07-01,7'], modifiedAt: TUESDAY })
    await fast.bench.land(await messageOf(fast, 'import'))
    await fast.bench.curate(await messageOf(fast, 'import'))
    pause.resume()
    expect(await late).toBe('published')
    expect(await fast.rows()).toEqual(['2020-07-01 7'])
  })

  test('between a mark and its rebuild verify says pending, and afterwards that the bytes are the same', async () => {
    const books = await open(await services())
    await books.drop(FIRST)
    await books.bench.settle()
    await withdraw(books, 'books/2020.csv')
    const kinds = async () => {
      const found: string[] = []
      for await (const { kind } of verifyPartitions(books.bench.platform, new AbortController().signal))
        found.push(kind)
      return found
    }
    expect(await kinds()).toEqual(['pending'])
    await books.bench.settle()
    expect(await kinds()).toEqual(['same'])
  })
})
