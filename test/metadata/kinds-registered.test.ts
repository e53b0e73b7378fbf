import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DatabaseUnavailableError } from '../../shared/errors.ts'
import { type IoHook, withoutHook } from '../../shared/io-hook.ts'
import { KINDS } from '../../shared/metadata/model/kinds.ts'
import type { NewMetadataRecord } from '../../shared/metadata/model/record.ts'
import { dispatchAll } from '../../shared/metadata/outbox/dispatch.ts'
import { dispatchElsewhere } from '../../shared/metadata/outbox/dispatch-elsewhere.ts'
import { dispatchHere } from '../../shared/metadata/outbox/dispatch-here.ts'
import { prepareRecords } from '../../shared/metadata/outbox/outbox.ts'
import { createNameBook } from '../../shared/metadata/postgres/names.ts'
import { openPostgresRepository } from '../../shared/metadata/postgres/repository.ts'
import type { NewKindVersion } from '../../shared/metadata/registry/kind-version.ts'
import { kindBook, openKindRegistry } from '../../shared/metadata/registry/registry.ts'
import { OURS, useDispatch } from './dispatch-bench.ts'
import { volume } from './fact.ts'

const SECOND = 1_000_000n

/** A record of the kind `orders`: two of different days are two facts. */
const order = (day: number, fields: Partial<NewMetadataRecord> = {}) =>
  volume(day, { kind: 'orders', payload: { a: 'x' }, ...fields })

describe('records of registered kinds', () => {
  const bench = useDispatch()
  let now = 0n
  const closing: (() => Promise<void>)[] = []
  beforeEach(async () => {
    await bench.clear()
    await bench.query('delete from metadata.kind_version')
    now = BigInt(Date.now()) * 1_000n
  })
  afterEach(async () => {
    for (const close of closing.splice(0)) await close()
  })

  /** A process of its own: what it knows of the registry, and how often it asked. */
  const open = (hook: IoHook = withoutHook) => {
    const asked: string[] = []
    const source = bench.open((operation, run) => {
      if (operation.subject === 'list_metadata_kind_versions') asked.push(operation.subject)
      return hook(operation, run)
    })
    closing.push(source.close)
    const registry = openKindRegistry({ db: source.db, builtin: KINDS, clock: () => now })
    const kinds = kindBook(registry)
    const store = { db: source.db, names: createNameBook(), kinds }
    const repository = openPostgresRepository({ store, environment: OURS, clock: () => now })
    return { source: { ...source, kinds }, registry, kinds, repository, asked }
  }
  type Process = ReturnType<typeof open>

  const register = async ({ registry }: Process, version: string, fields: Partial<NewKindVersion> = {}) => {
    const schema = { type: 'object', properties: { a: { type: 'string' } } }
    const result = await registry.register({ kind: 'orders', version, schema, ...fields }, { createdBy: 'ada' })
    if (!result.ok) throw new Error(result.problem.detail)
  }
  const store = async ({ repository }: Process, record: NewMetadataRecord) => {
    const result = await repository.store(record)
    return result.outcome === 'refused' ? result.problem.detail : result.outcome
  }
  const unknownKind = `kind: expected one of ${[...KINDS.keys()].join(', ')}, got orders`

  test('are stored by a process that has not heard of them before', async () => {
    const [ours, theirs] = [open(), open()]
    expect(await store(ours, volume(0))).toBe('stored')
    await register(theirs, '1.0')
    now += 5n * SECOND
    expect(await store(ours, order(1))).toBe('stored')
    await register(theirs, '1.1')
    now += 5n * SECOND
    expect(await store(ours, order(2, { kindVersion: '1.1' }))).toBe('stored')
  })

  test('are refused where nobody registered them, and the registry is asked every 5 seconds at most', async () => {
    const ours = open()
    expect(await store(ours, order(0))).toBe(unknownKind)
    expect(await store(ours, order(1))).toBe(unknownKind)
    now += 4n * SECOND
    expect(await store(ours, order(2))).toBe(unknownKind)
    expect(ours.asked).toHaveLength(1)
    now += SECOND
    expect(await store(ours, order(3))).toBe(unknownKind)
    expect(ours.asked).toHaveLength(2)
  })

  test('are stored at once by the process that registered them', async () => {
    const ours = open()
    expect(await store(ours, order(0))).toBe(unknownKind)
    await register(ours, '1.0')
    expect(await store(ours, order(0))).toBe('stored')
  })

  test('wait for no draft', async () => {
    const ours = open()
    await register(ours, '1.0', { state: 'draft' })
    expect(await store(ours, order(0))).toBe(unknownKind)
    await ours.registry.publish('orders', '1.0')
    expect(await store(ours, order(0))).toBe('stored')
  })

  test('say what their version allows, with pointers to what is wrong', async () => {
    const ours = open()
    await register(ours, '1.0', { behaviour: { outcomes: ['pass'], facets: ['market'] } })
    const wrong = order(0, { payload: { a: 1, b: 2 }, outcome: 'fail', extras: { market: { name: 'NYSE' } } })
    const result = await ours.repository.store(wrong)
    expect(result).toMatchObject({ outcome: 'refused', problem: { code: 'record-schema-invalid' } })
    expect(result.outcome === 'refused' && result.problem.errors.map(({ pointer }) => pointer)).toEqual([
      '/outcome',
      '/extras/market',
      '/payload/a',
      '/payload/b',
    ])
  })

  test('are filtered by the extras that their kind declares, also by a process that has not heard of them', async () => {
    const [ours, theirs] = [open(), open()]
    await store(theirs, volume(0))
    await register(ours, '1.0', { behaviour: { facets: ['market'] } })
    await store(ours, order(0, { extras: { market: 'NYSE' } }))
    await store(ours, order(1, { extras: { market: 'LSE' } }))
    now += 5n * SECOND
    const { records } = await theirs.repository.query({ kind: 'orders', extras: { market: 'LSE' } })
    expect(records.map(({ context }) => context.runId)).toEqual(['run-1'])
    await expect(theirs.repository.query({ kind: 'orders', extras: { side: 'bid' } })).rejects.toThrow(
      'expected market',
    )
  })

  test('of an older version say nothing that a later one brought, and may say what it forbids', async () => {
    const ours = open()
    await register(ours, '1.0', { behaviour: { outcomes: ['pass'] } })
    await register(ours, '2.0', { behaviour: { outcomes: ['pass', 'late'], facets: ['market'] } })
    const old = { outcome: 'pass', extras: { market: { name: 'NYSE' } } }
    expect(await store(ours, order(0, old))).toBe('stored')
    expect(await store(ours, order(1, { ...old, outcome: 'late' }))).toContain('expected one of pass, got late')
    expect(await store(ours, order(2, { ...old, kindVersion: '2.0' }))).toContain('to filter by')
    expect(await store(ours, order(3, { kindVersion: '2.0', outcome: 'late', extras: { market: 'LSE' } }))).toBe(
      'stored',
    )
    const { records } = await ours.repository.query({ kind: 'orders', extras: { market: 'LSE' } })
    expect(records).toHaveLength(1)
    const filed = await bench.query('select run_id as run from metadata.record where facets is not null')
    expect(filed).toEqual([{ run: 'run-3' }])
  })

  test('are refused after the sunset of their version, with those that may be written', async () => {
    const ours = open()
    await register(ours, '1.0')
    await register(ours, '2.0')
    await ours.registry.deprecate('orders', '1.0', now + 10n * SECOND)
    expect(await store(ours, order(0))).toBe('stored')
    now += 10n * SECOND
    expect(await store(ours, order(1))).toBe('kind orders: expected version 2.0, got 1.0')
    await ours.registry.deprecate('orders', '2.0', now + 1n)
    now += 1n
    expect(await store(ours, order(1, { kindVersion: '2.0' }))).toBe(
      'kind orders: expected version none any more, got 2.0',
    )
    expect((await ours.repository.query({ kind: 'orders' })).records).toHaveLength(1)
  })

  test('are refused after a sunset that another process set, within a minute', async () => {
    const [ours, theirs] = [open(), open()]
    await register(ours, '1.0')
    expect(await store(ours, order(0))).toBe('stored')
    await theirs.registry.deprecate('orders', '1.0', now + 1n)
    now += 59n * SECOND
    expect(await store(ours, order(1))).toBe('stored')
    now += SECOND
    expect(await store(ours, order(2))).toBe('kind orders: expected version none any more, got 1.0')
  })

  test('need the registry, those of the platform do not', async () => {
    const ours = open(async (operation, run) => {
      if (operation.subject === 'list_metadata_kind_versions') throw new DatabaseUnavailableError('no registry')
      return run()
    })
    expect(await store(ours, volume(0))).toBe('stored')
    await expect(ours.repository.store(order(0))).rejects.toThrow('no registry')
  })

  describe('in an outbox', () => {
    const rejects = () => bench.query<{ code: string }>('select code from metadata.reject')
    const placesOf = ({ source, repository }: Process) => ({
      here: dispatchHere(source, createNameBook()),
      elsewhere: dispatchElsewhere(source, async () => repository),
    })

    test.each(['here', 'elsewhere'] as const)(
      'are stored %s, beside those that nobody registered, which become rejects',
      async (place) => {
        const [ours, theirs] = [open(), open()]
        await store(ours, volume(9))
        await register(theirs, '1.0')
        now += 5n * SECOND
        await bench.write([order(0), volume(1), order(2, { kind: 'nobody' }), order(3, { kindVersion: '7.0' })])
        expect(await dispatchAll(placesOf(ours)[place])).toEqual({ stored: 2, replayed: 0, rejected: 2, postponed: 0 })
        expect((await rejects()).map(({ code }) => code).sort()).toEqual(['unknown-kind', 'unknown-kind-version'])
        expect(ours.asked).toHaveLength(2)
        expect((await bench.state()).outbox).toBe(0)
      },
    )

    test.each(['here', 'elsewhere'] as const)('stay there while the registry does not answer: %s', async (place) => {
      let isAway = true
      const ours = open(async (operation, run) => {
        if (isAway && operation.subject === 'list_metadata_kind_versions') throw new DatabaseUnavailableError('away')
        return run()
      })
      await register(ours, '1.0')
      await bench.write([order(0), order(1, { kind: 'nobody' })])
      await expect(dispatchAll(placesOf(ours)[place])).rejects.toThrow('away')
      expect([(await bench.state()).outbox, await rejects()]).toEqual([2, []])
      isAway = false
      await bench.query('update metadata.outbox set due_at = now()')
      expect(await dispatchAll(placesOf(ours)[place])).toMatchObject({ stored: 1, rejected: 1 })
    })

    test('are found beside one that PostgreSQL refuses', async () => {
      const [ours, theirs] = [open(), open()]
      await store(ours, volume(9))
      await register(theirs, '1.0')
      now += 5n * SECOND
      await bench.query(`alter table metadata.record add constraint no_seven check (run_id <> 'run-7')`)
      try {
        await bench.write([order(0), volume(7), volume(1)])
        const moved = await dispatchAll(placesOf(ours).here)
        expect(moved).toEqual({ stored: 2, replayed: 0, rejected: 1, postponed: 0 })
      } finally {
        await bench.query('alter table metadata.record drop constraint no_seven')
      }
    })

    test('wait for no connection that another dispatcher of the process holds', async () => {
      const ours = open()
      await bench.write(Array.from({ length: 40 }, (_, day) => order(day)))
      const { here } = placesOf(ours)
      const done = await Promise.all([1, 2, 3, 4].map(() => dispatchAll(here, { batchMax: 5 })))
      expect(done.reduce((sum, { rejected }) => sum + rejected, 0)).toBe(40)
    })

    test('are written there by a producer that has not heard of them before', async () => {
      const [ours, theirs] = [open(), open()]
      await register(theirs, '1.0')
      const { log } = ours.source
      const prepared = await prepareRecords([order(0)], { kinds: ours.kinds, log, environment: OURS, now })
      expect([prepared.texts.length, prepared.rejects]).toEqual([1, []])
    })

    test('fail no producer where the registry does not answer: they are rejects until somebody replays them', async () => {
      const ours = open(async (operation, run) => {
        if (operation.subject === 'list_metadata_kind_versions') throw new DatabaseUnavailableError('away')
        return run()
      })
      const { log } = ours.source
      const prepared = await prepareRecords([order(0), volume(0)], { kinds: ours.kinds, log, environment: OURS, now })
      expect([prepared.texts.length, prepared.rejects.length]).toEqual([1, 1])
      expect(bench.logged.map(({ event }) => event)).toEqual(['metadata_kinds_not_reloaded', 'metadata_record_refused'])
    })
  })
})
