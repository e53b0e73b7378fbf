import { afterEach, describe, expect, test } from 'vitest'
import { freeStream, holdStream } from '../../shared/ingest/state/hold.ts'
import { readStatus } from '../../shared/ops/status.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { openWorkbench, TWO_YEARS, type Workbench } from '../support/workbench.ts'
import { openLedger } from './ledger.ts'

const GUARD = { actor: 'guard', reason: 'column vwap is gone' }
const PERSON = { actor: 'ada', reason: 'looked at it' }

describe("the guard's hold on a stream", () => {
  const environment = useTestEnvironment()
  const opened: Workbench[] = []
  afterEach(async () => {
    for (const bench of opened.splice(0)) await bench.close()
  })
  const services = async () => ({
    databaseUrl: await environment.newDatabase(),
    storageConnectionString: environment.newStorageAccount(),
  })
  const states = async (bench: Workbench) =>
    (
      await bench.query<{ state: string }>(
        'select state from provenance.source_ingest order by planned_at, source_ingest_id',
      )
    ).map(({ state }) => state)

  test('planning and landing go on, what landed waits, freeing it lets everything through', async () => {
    const bench = await openWorkbench({ ...(await services()), streams: [{ ...TWO_YEARS, until: '2002-01-01' }] })
    opened.push(bench)
    await bench.plan()
    expect(await holdStream(bench.platform.db, { stream: { streamId: 1, name: 'alpaca/bars/SPX/1d' }, ...GUARD })).toBe(
      true,
    )
    await bench.sweep()
    expect(await bench.drain()).toContain('landed')
    await bench.writeStreams([TWO_YEARS])
    await bench.plan()
    await bench.sweep()
    await bench.drain()
    await bench.sweep()
    expect(await bench.drain()).toEqual(['refused', 'refused'])
    expect(await states(bench)).toEqual(['landed', 'landed'])
    const [ingest] = await bench.query('select epoch, attempts from provenance.source_ingest limit 1')
    expect(ingest).toEqual({ epoch: 1, attempts: 0 })
    expect((await readStatus(bench.platform.db)).streams[0]).toMatchObject({ heldReason: GUARD.reason, published: [] })
    const [state] = await bench.query('select status, message from ingest.state')
    expect(state).toEqual({ status: 'partial', message: `held: ${GUARD.reason}` })

    expect(
      await freeStream(bench.platform.db, { stream: { streamId: 1, name: 'alpaca/bars/SPX/1d' }, ...PERSON }),
    ).toBe(true)
    const queued = await bench.query('select count(*) from provenance.source_ingest where queued_at is not null')
    expect(queued).toEqual([{ count: 0 }])
    await bench.sweep()
    expect(await bench.drain()).toEqual(['published', 'published'])
    expect(await bench.query('select actor, action, before, after from ops.audit order by audit_id')).toEqual([
      { actor: 'guard', action: 'hold_stream', before: null, after: { reason: GUARD.reason } },
      { actor: 'ada', action: 'free_stream', before: { reason: GUARD.reason }, after: { reason: PERSON.reason } },
    ])
  })

  test('holding what is held and freeing what is not change nothing', async () => {
    const bench = await openWorkbench(await services())
    opened.push(bench)
    await bench.plan()
    const { db } = bench.platform
    expect(await freeStream(db, { stream: { streamId: 1, name: 'alpaca/bars/SPX/1d' }, ...PERSON })).toBe(false)
    expect(await holdStream(db, { stream: { streamId: 1, name: 'alpaca/bars/SPX/1d' }, ...GUARD })).toBe(true)
    expect(
      await holdStream(db, { stream: { streamId: 1, name: 'alpaca/bars/SPX/1d' }, ...GUARD, reason: 'another' }),
    ).toBe(false)
    expect(await bench.query('select held_reason as reason from ingest.stream')).toEqual([{ reason: GUARD.reason }])
    expect(await bench.query('select count(*) from ops.audit')).toEqual([{ count: 1 }])
    await expect(holdStream(db, { stream: { streamId: 7, name: 'alpaca/bars/SPX/1d' }, ...GUARD })).rejects.toThrow(
      'stream 7: expected a stream of this database, got none',
    )
  })

  test('a rebuild is not held', async () => {
    const books = await openLedger(await services())
    opened.push(books.bench)
    const file = { lines: ['2020-01-02,1', '2020-01-03,1'], modifiedAt: '2020-02-03T08:00:00Z' }
    await books.drop(file)
    await books.bench.settle()
    const next = await books.drop({ ...file, lines: ['2020-01-02,2'] })
    const planned = { v: 1, sourceIngestId: next.kind === 'planned' ? next.sourceIngestId : undefined }
    await books.bench.land(planned)
    await books.bench.curate(planned)
    await holdStream(books.bench.platform.db, {
      stream: { streamId: books.streamId, name: 'alpaca/bars/SPX/1d' },
      ...GUARD,
    })
    await books.bench.sweep()
    await books.bench.drain()
    expect(await books.rebuilds()).toMatchObject([{ state: 'published', removed: 1 }])
    expect(await books.rows()).toEqual(['2020-01-02 2'])
  })
})
