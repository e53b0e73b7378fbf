import { beforeEach, describe, expect, test } from 'vitest'
import { DatabaseUnavailableError } from '../../shared/errors.ts'
import { dispatchAll } from '../../shared/metadata/outbox/dispatch.ts'
import { dispatchHere } from '../../shared/metadata/outbox/dispatch-here.ts'
import { createNameBook } from '../../shared/metadata/postgres/names.ts'
import { useDispatch } from './dispatch-bench.ts'
import { COUNTS, counted, TARGET, volume } from './fact.ts'

describe('the dispatcher', () => {
  const bench = useDispatch()
  beforeEach(() => bench.clear())
  const runs = async () => {
    const rows = await bench.query<{ run: string }>('select run_id as run from metadata.record order by effective_at')
    return rows.map(({ run }) => run)
  }
  const rejects = () =>
    bench.query<{ code: string; detail: { detail: string }; record: string; tenant: string }>(
      'select tenant, code, detail, record from metadata.reject order by reject_id',
    )

  test('moves what is due into the records, each once, and leaves the outbox empty', async () => {
    await bench.write([volume(0), volume(1), volume(2)])
    expect(await bench.dispatch()).toEqual({ stored: 3, replayed: 0, rejected: 0, postponed: 0 })
    expect(await runs()).toEqual(['run-0', 'run-1', 'run-2'])
    expect(await bench.dispatch()).toEqual({ stored: 0, replayed: 0, rejected: 0, postponed: 0 })
    expect((await bench.state()).outbox).toBe(0)
  })

  test('a row without a tenant is of this deployment, and its environment is added to the context', async () => {
    await bench.write([volume(0)])
    await bench.write([volume(0)], 'theirs')
    await bench.dispatch()
    const rows = await bench.query<{ environment: unknown }>(
      `select body #> '{context,environment}' as environment from metadata.record order by 1`,
    )
    expect(rows.map(({ environment }) => environment)).toEqual([
      { workspace: 'test', tenant: 'ours' },
      { workspace: 'test', tenant: 'theirs' },
    ])
  })

  test('what was stored before is a replay and leaves the outbox', async () => {
    await bench.write([volume(0)])
    await bench.dispatch()
    await bench.write([volume(0), volume(0)])
    expect(await bench.dispatch()).toEqual({ stored: 0, replayed: 2, rejected: 0, postponed: 0 })
    expect((await bench.state()).outbox).toBe(0)
  })

  test('what says something else of the same fact becomes a reject, with what is stored instead', async () => {
    await bench.write([volume(0), { ...volume(0), payload: counted(1) }])
    expect(await bench.dispatch()).toEqual({ stored: 1, replayed: 0, rejected: 1, postponed: 0 })
    const [stored] = await bench.query<{ id: string }>('select record_id as id from metadata.record')
    expect(await rejects()).toMatchObject([
      { tenant: 'ours', code: 'idempotency-conflict', detail: { recordId: stored?.id } },
    ])
    expect((await bench.state()).outbox).toBe(0)
  })

  test('links are those of what was stored: a replay adds none, a conflict neither', async () => {
    const linked = (parent: string) => volume(0, { links: { outputs: [TARGET], parent } })
    await bench.write([linked('a'), linked('b'), linked('a')])
    await bench.dispatch()
    expect((await bench.state()).links).toEqual(['run-0 output TSLA/1d', 'run-0 parent a'])
  })

  test('what cannot be a record becomes a reject as it came, and those beside it are stored', async () => {
    const bad = ['{', '['.repeat(10_000), JSON.stringify({ ...volume(1), kind: 'other' }), '{"a":"\\u0000"}', '']
    await bench.write([volume(0), ...bad, volume(2)])
    expect(await bench.dispatch()).toEqual({ stored: 2, replayed: 0, rejected: 5, postponed: 0 })
    expect(await runs()).toEqual(['run-0', 'run-2'])
    const kept = await rejects()
    expect(new Set(kept.map(({ record }) => record))).toEqual(new Set(bad))
    expect(bench.logged.filter(({ event }) => event === 'metadata_record_refused')).toHaveLength(5)
  })

  test('the same reject is kept once while it is open', async () => {
    await bench.write(['{', '{'])
    await bench.dispatch()
    await bench.write(['{'])
    expect(await bench.dispatch()).toMatchObject({ rejected: 1 })
    expect(await rejects()).toHaveLength(1)
  })

  describe('revisions', () => {
    const first = volume(0, { payload: counted(1) })
    const second = { ...first, revision: 1, payload: counted(2) }
    const third = { ...first, revision: 2, payload: counted(3) }

    test('in one batch, in any order, are stored one after the other', async () => {
      await bench.write([third, first, second])
      expect(await bench.dispatch()).toEqual({ stored: 3, replayed: 0, rejected: 0, postponed: 0 })
      expect((await bench.state()).latest).toHaveLength(1)
    })

    test('wait for the one before, and are stored when it came', async () => {
      await bench.write([second])
      expect(await bench.dispatch()).toEqual({ stored: 0, replayed: 0, rejected: 0, postponed: 1 })
      expect(await bench.dispatch()).toMatchObject({ postponed: 0 })
      await bench.write([first])
      await bench.dispatch()
      const [row] = await bench.query<{ attempts: number; later: boolean }>(
        'select attempts, due_at > now() as later from metadata.outbox',
      )
      expect(row).toEqual({ attempts: 1, later: true })
      await bench.query('update metadata.outbox set due_at = now()')
      expect(await bench.dispatch()).toMatchObject({ stored: 1 })
    })

    test('become rejects when the one before does not come within a day', async () => {
      await bench.write([second])
      await bench.query(`update metadata.outbox set created_at = now() - interval '25 hours'`)
      expect(await bench.dispatch()).toEqual({ stored: 0, replayed: 0, rejected: 1, postponed: 0 })
      expect(await rejects()).toMatchObject([{ code: 'revision-gap' }])
    })
  })

  test.each([1, 2, 3, 7])(
    'what PostgreSQL itself refuses is found by halving a batch of %i, and it alone is a reject',
    async (size) => {
      await bench.query(`alter table metadata.record add constraint no_seven check (run_id <> 'run-7')`)
      try {
        const days = Array.from({ length: size }, (_, index) => 7 + index)
        await bench.write([...days.map((day) => volume(day)), volume(0)].reverse())
        expect(await bench.dispatch()).toEqual({ stored: size, replayed: 0, rejected: 1, postponed: 0 })
        expect(await rejects()).toMatchObject([
          {
            code: 'refused-by-store',
            detail: { detail: expect.stringContaining('23514') },
            record: expect.stringContaining('run-7'),
          },
        ])
        expect((await bench.state()).outbox).toBe(0)
      } finally {
        await bench.query('alter table metadata.record drop constraint no_seven')
      }
    },
  )

  test('an error that is not about the data rejects nothing', async () => {
    await bench.write([volume(0)])
    await bench.query('alter table metadata.latest rename to latest_away')
    try {
      await expect(bench.dispatch()).rejects.toThrow('relation "metadata.latest" does not exist')
      expect(await bench.state().catch(() => null)).toBeNull()
    } finally {
      await bench.query('alter table metadata.latest_away rename to latest')
    }
    expect(await bench.dispatch()).toMatchObject({ stored: 1, rejected: 0 })
  })

  test('several at once take different rows, and store each once', async () => {
    await bench.write(
      Array.from({ length: 400 }, (_, day) => volume(day % 200, { target: { ...TARGET, table: `t${day % 7}` } })),
    )
    const sources = [bench.open(), bench.open(), bench.open()]
    const done = await Promise.all(sources.map((source) => bench.dispatch({ batchMax: 17 }, source)))
    for (const source of sources) await source.close()
    const sum = (of: 'stored' | 'replayed') => done.reduce((total, one) => total + one[of], 0)
    const names = new Set(Array.from({ length: 400 }, (_, day) => `${day % 200} ${day % 7}`))
    expect([sum('stored'), sum('replayed')]).toEqual([names.size, 400 - names.size])
    const state = await bench.state()
    expect([state.records.length, state.outbox]).toEqual([names.size, 0])
  })

  test('ends after the batches it was given, or when it is told to stop', async () => {
    await bench.write([volume(0), volume(1), volume(2)])
    expect(await bench.dispatch({ batchMax: 1, batchesMax: 2 })).toMatchObject({ stored: 2 })
    const stop = AbortSignal.abort()
    expect(await dispatchAll(dispatchHere(bench.source, createNameBook()), { stop })).toMatchObject({ stored: 0 })
  })

  test('a transaction that rolls back leaves no number of a target in memory', async () => {
    const names = createNameBook()
    const target = { ...TARGET, table: 'rolled back' }
    await bench.write([volume(0, { target, payload: COUNTS })])
    const failing = bench.open(async (operation, run) => {
      if (operation.subject === 'commit') throw new DatabaseUnavailableError('before the commit')
      return run()
    })
    await expect(dispatchAll(dispatchHere(failing, names))).rejects.toThrow('before the commit')
    await failing.close()
    await dispatchAll(dispatchHere(bench.source, names))
    const found = await bench.query<{ table: string }>(
      'select t.table_name as table from metadata.record r join metadata.target t using (target_no)',
    )
    expect(found).toEqual([{ table: 'rolled back' }])
  })
})
