import { afterEach, describe, expect, test } from 'vitest'
import { TransientError } from '../../shared/errors.ts'
import { expireOwnLeases } from '../../shared/ingest/sweep.ts'
import type { IoHook, IoOperation } from '../../shared/io-hook.ts'
import type { FileSource } from '../../shared/sources/contract.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { type LedgerBench, ledger, openLedger } from './ledger.ts'

const MONDAY = '2020-02-03T08:00:00Z'

/** The next version of the source: it takes no line of 2021 any more. */
const STRICTER: FileSource = {
  ...ledger,
  transformVersion: 2,
  bind(params) {
    const bound = ledger.bind(params)
    return {
      ...bound,
      records: (body, into) => {
        const lines = new TextDecoder().decode(body).split('\n').filter(Boolean)
        for (const line of lines) {
          if (line.startsWith('2021')) {
            into.fail('out_of_range', `date: expected one before 2021, got ${line}`)
            into.end(line)
          } else {
            bound.records(new TextEncoder().encode(line), into)
          }
        }
      },
    }
  },
}

/** A process that is gone right after the first operation that matches. */
function dyingAfter(matches: (operation: IoOperation) => boolean): IoHook {
  let dead = false
  return async (operation, run) => {
    if (dead) throw new TransientError('the process is gone')
    const result = await run()
    if (matches(operation)) {
      dead = true
      throw new TransientError('the process is gone')
    }
    return result
  }
}

describe('a worker of another transform version takes over', () => {
  const environment = useTestEnvironment()
  const opened: LedgerBench[] = []
  afterEach(async () => {
    for (const { bench } of opened.splice(0)) await bench.close()
  })
  const services = async () => ({
    databaseUrl: await environment.newDatabase(),
    storageConnectionString: environment.newStorageAccount(),
  })
  const open = async (options: Parameters<typeof openLedger>[0]) => {
    const books = await openLedger(options)
    opened.push(books)
    return books
  }
  const next = (source: FileSource) => new Map([['ledger', source]])

  test('what a worker listed before it counted is counted by the one that takes over, whoever wrote its rows', async () => {
    const shared = await services()
    const version2 = next({ ...ledger, transformVersion: 2 })
    const old = await open({ ...shared, verify: false })
    await old.drop({ name: 'first.csv', lines: ['2020-01-01,1'], modifiedAt: MONDAY })
    await old.bench.settle()

    const dying = await open({
      ...shared,
      sources: version2,
      verify: false,
      hook: dyingAfter(({ subject }) => subject === 'list_in_partition'),
    })
    const late = await dying.drop({ name: 'late.csv', lines: ['2020-01-02,2', '2020-01-03,2'], modifiedAt: MONDAY })
    const message = { v: 1, sourceIngestId: late.kind === 'planned' ? late.sourceIngestId : '' }
    await dying.bench.land(message)
    await dying.bench.curate(message).catch(() => undefined)

    const heir = await open({ ...shared, sources: version2 })
    const other = await heir.drop({ name: 'other.csv', lines: ['2020-01-04,4'], modifiedAt: MONDAY })
    const otherMessage = { v: 1, sourceIngestId: other.kind === 'planned' ? other.sourceIngestId : '' }
    await heir.bench.land(otherMessage)
    expect(await heir.bench.curate(otherMessage)).toBe('published')
    expect(await heir.rows()).toEqual(['2020-01-01 1', '2020-01-02 2', '2020-01-03 2', '2020-01-04 4'])

    await expireOwnLeases(heir.bench.platform)
    await heir.bench.settle()
    expect(await heir.versions()).toEqual(['first.csv v1 published', 'late.csv v1 published', 'other.csv v1 published'])
    expect(
      await heir.bench.query(
        `select records, inserted + unchanged as kept from provenance.source_ingest where source_ingest_id = $1`,
        [message.sourceIngestId],
      ),
    ).toEqual([{ records: 2, kept: 2 }])
  })

  test('rows that only the older version kept leave the partitions that the newer one no longer reaches', async () => {
    const shared = await services()
    const kept = Array.from({ length: 9 }, (_, day) => `2020-01-0${day + 1},1`)
    let puts = 0
    const dying = await open({
      ...shared,
      verify: false,
      hook: dyingAfter(({ action, subject }) => action === 'put' && subject.startsWith('curated/') && ++puts === 2),
    })
    const file = await dying.drop({ lines: [...kept, '2021-01-01,9'], modifiedAt: MONDAY })
    const message = { v: 1, sourceIngestId: file.kind === 'planned' ? file.sourceIngestId : '' }
    await dying.bench.land(message)
    await dying.bench.curate(message).catch(() => undefined)

    const heir = await open({ ...shared, sources: next(STRICTER) })
    expect(await heir.rows()).toHaveLength(10)
    await expireOwnLeases(heir.bench.platform)
    await heir.bench.settle()
    expect(await heir.rows()).toEqual(kept.map((line) => line.replace(',', ' ')))
    expect(
      await heir.bench.query('select inserted + unchanged as kept, rejected from provenance.source_ingest'),
    ).toEqual([{ kept: 9, rejected: 1 }])
  })
})
