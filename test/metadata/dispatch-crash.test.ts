import { describe, expect, test } from 'vitest'
import { type IoHook, withoutHook } from '../../shared/io-hook.ts'
import { fixedKinds } from '../../shared/metadata/model/kind-book.ts'
import { KINDS } from '../../shared/metadata/model/kinds.ts'
import { dispatchAll } from '../../shared/metadata/outbox/dispatch.ts'
import { dispatchElsewhere } from '../../shared/metadata/outbox/dispatch-elsewhere.ts'
import { dispatchHere } from '../../shared/metadata/outbox/dispatch-here.ts'
import { createNameBook } from '../../shared/metadata/postgres/names.ts'
import { openPostgresRepository } from '../../shared/metadata/postgres/repository.ts'
import { openDatabase } from '../../shared/postgres/database.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { createFaultyIo, FAULTS, type FaultKind } from '../support/faulty-io.ts'
import { OURS, readState, useDispatch } from './dispatch-bench.ts'
import { counted, TARGET, volume } from './fact.ts'

const first = volume(0, { payload: counted(1), links: { outputs: [TARGET], parent: 'tick' } })

/** New ones, a replay, a correction, a conflict, a gap, and what is none. */
const WRITTEN = [
  first,
  volume(3),
  first,
  { ...first, revision: 1, payload: counted(2) },
  { ...first, payload: counted(9) },
  { ...volume(7), revision: 4 },
  '{',
  volume(1),
]

describe('a crash anywhere in the dispatcher', () => {
  const bench = useDispatch()
  const environment = useTestEnvironment()

  type Dispatch = (hook: IoHook) => Promise<void>

  const here: Dispatch = async (hook) => {
    const source = bench.open(hook)
    try {
      await dispatchAll(dispatchHere(source, createNameBook()), { batchMax: 8 })
    } finally {
      await source.close()
    }
  }

  const openStore = (hook: IoHook) =>
    openDatabase(
      { connection: { kind: 'url', url: environment.databaseUrl }, connectionsMax: 2, applicationName: 'test' },
      hook,
    )
  const elsewhere: Dispatch = async (hook) => {
    const source = bench.open(hook)
    const db = openStore(hook)
    const store = { db, names: createNameBook(), kinds: fixedKinds(KINDS) }
    const repository = openPostgresRepository({ store, environment: OURS })
    try {
      await dispatchAll(
        dispatchElsewhere(source, async () => repository),
        { batchMax: 8 },
      )
    } finally {
      await source.close()
      await db.close()
    }
  }

  const cases: readonly (readonly [string, Dispatch])[] = [
    ['into its own database', here],
    ['into another database', elsewhere],
  ]
  test.each(cases)(
    '%s: what is in the outbox is stored once, or is a reject, or waits',
    async (_where, dispatch) => {
      const store = openStore(withoutHook)
      const run = async (fault?: { readonly kind: FaultKind; readonly at: number }) => {
        await bench.clear()
        await store.query(CLEAR)
        await bench.write(WRITTEN)
        const io = createFaultyIo()
        io.arm(fault)
        await dispatch(io.hook).catch(() => undefined)
        // A new process, after the leases of the first have run out.
        for (let round = 0; round < 3; round++) {
          await bench.query('update metadata.outbox set due_at = now()')
          await dispatch(withoutHook)
        }
        const [own, other] = [await bench.state(), await readState(store)]
        const { rejects, outbox } = own
        return { state: { own: { ...own, rejects, outbox }, other }, operations: io.operations }
      }
      const clean = await run()
      const { own, other } = clean.state
      expect(Math.max(own.records.length, other.records.length)).toBe(4)
      expect(own.rejects).toEqual(['ours idempotency-conflict open', 'ours record-schema-invalid open'])
      expect(own.outbox).toBe(1)
      expect(clean.operations.length).toBeGreaterThan(10)
      const differences: string[] = []
      for (const [at, operation] of clean.operations.entries()) {
        for (const kind of FAULTS) {
          const crashed = await run({ kind, at })
          if (JSON.stringify(crashed.state) === JSON.stringify(clean.state)) continue
          differences.push(`${kind} ${at} ${operation.subject}: ${JSON.stringify(crashed.state)}`)
        }
      }
      await store.close()
      expect(differences).toEqual([])
    },
    120_000,
  )
})

const CLEAR = {
  name: 'test clear',
  text: `
with a as (delete from metadata.record), b as (delete from metadata.record_key), c as (delete from metadata.latest),
     d as (delete from metadata.link), e as (delete from metadata.reject)
select`,
}
