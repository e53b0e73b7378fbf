import { describe, expect, test } from 'vitest'
import { type IoHook, withoutHook } from '../../shared/io-hook.ts'
import { createLog } from '../../shared/log/log.ts'
import { KINDS } from '../../shared/metadata/model/kinds.ts'
import { type CompactOptions, compactMetadata } from '../../shared/metadata/retention/compact.ts'
import { createFaultyIo, type FaultKind } from '../support/faulty-io.ts'
import { TARGET, volume } from './fact.ts'
import { useRetention } from './retention-bench.ts'

const CHANGING = /^(put|stage)|^query (take|renew|release|begin|add|move|delete|commit)/

describe('a crash anywhere in the compactor', () => {
  const bench = useRetention()
  const kinds = new Map([...KINDS].filter(([kind]) => kind === 'ingestion_volume'))
  const log = createLog({ sink: () => undefined, level: 'error', secrets: [] })

  const compact = async (hook: IoHook, options?: Partial<CompactOptions>) => {
    const places = bench.open(hook)
    try {
      return await compactMetadata({ ...places, kinds, log, ...options })
    } finally {
      await places.close()
    }
  }
  const again = async () => {
    await bench.query('update metadata.lease set expires_at = now()')
    await compact(withoutHook)
  }
  const restore = async () => {
    await bench.query(`
      with a as (delete from metadata.record), b as (delete from metadata.lease), c as (delete from metadata.compaction),
           d as (delete from metadata.compacted_file)
      select`)
    await bench.query('insert into metadata.record overriding system value select * from test_record')
    for await (const { path, etag } of bench.files.list('')) await bench.files.remove(path, etag)
  }
  const state = async () => ({
    blobs: await bench.blobs(),
    hot: await bench.query('select record_id from metadata.record order by record_id'),
    below: await bench.query('select kind, below::text from metadata.compaction'),
    everything: (await bench.readAll()).map(({ recordId }) => recordId).sort(),
  })

  test('and a run after it give the same files, byte by byte, and every record once, in the table or in a file', async () => {
    const table = (name: string) => ({ target: { ...TARGET, table: name } })
    await bench.store(95, [volume(0), volume(1), volume(5, table('late')), volume(3, table('late')), volume(2)])
    await bench.store(95, [volume(0)], 'theirs')
    const [hot] = await bench.store(1, [volume(9)])
    await bench.query('create table test_record as select * from metadata.record')

    const run = async (fault?: { readonly kind: FaultKind; readonly at: number }) => {
      await restore()
      const io = createFaultyIo()
      io.arm(fault)
      await compact(io.hook).catch(() => undefined)
      // Nothing is lost at any moment, not only at the end.
      const found = (await bench.readAll()).map(({ recordId }) => recordId)
      expect([found.length, new Set(found).size]).toEqual([6, 6])
      await again()
      return { state: await state(), operations: io.operations }
    }
    const clean = await run()
    expect(Object.keys(clean.state.blobs)).toHaveLength(2)
    expect(clean.state.hot).toContainEqual({ record_id: hot })
    expect(clean.state.hot).toHaveLength(3)
    expect(clean.operations.length).toBeGreaterThan(30)
    const differences: string[] = []
    // What did not happen, and nothing after it, is the death before it; an answer that was lost matters of a change.
    for (const [at, operation] of clean.operations.entries()) {
      for (const kind of ['after', 'dead'] as const) {
        if (kind === 'after' && !CHANGING.test(`${operation.action} ${operation.subject}`)) continue
        const crashed = await run({ kind, at })
        if (JSON.stringify(crashed.state) === JSON.stringify(clean.state)) continue
        differences.push(`${kind} ${at} ${operation.action} ${operation.subject}: ${JSON.stringify(crashed.state)}`)
      }
    }
    expect(differences).toEqual([])
  }, 240_000)

  test('beside writers of both tenants loses and doubles nothing', async () => {
    await restore()
    const stored: Promise<unknown>[] = []
    const writers = [bench.ours, bench.theirs]
    const io: IoHook = async (_operation, run) => {
      const result = await run()
      // Between any two steps somebody stores something, and displaces what was the latest.
      if (stored.length < 40)
        stored.push(writers[stored.length % 2]?.store(volume(20 + stored.length)) ?? Promise.resolve())
      return result
    }
    await compact(io)
    await Promise.all(stored)
    await again()
    const ours = (await bench.readAll()).map(({ context }) => context.runId)
    const theirs = (await bench.readAll({ tenant: 'theirs' })).map(({ context }) => context.runId)
    const each = stored.length / 2
    expect(each).toBeGreaterThan(10)
    expect([ours.length, new Set(ours).size]).toEqual([6 + Math.ceil(each), 6 + Math.ceil(each)])
    expect([theirs.length, new Set(theirs).size]).toEqual([1 + Math.floor(each), 1 + Math.floor(each)])
    expect(
      await bench.query('select record_id from metadata.latest except select record_id from metadata.record'),
    ).toEqual([])
  })
})
