import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { NewMetadataRecord } from '../../shared/metadata/model/record.ts'
import type { StoreResult } from '../../shared/metadata/model/repository.ts'
import { createNameBook } from '../../shared/metadata/postgres/names.ts'
import { openPostgresRepository } from '../../shared/metadata/postgres/repository.ts'
import { OURS, useDispatch } from '../metadata/dispatch-bench.ts'
import { counted, TARGET, volume } from '../metadata/fact.ts'

const WRITERS = 3
const ROUNDS_MAX = 10
// Without the order the first or second of them deadlocked.
const OPPOSITE_ROUNDS = 5

/** One of few facts, so that writers meet: `run` and `day` name it, `revision` and `said` are what is said of it. */
const said = fc.record({
  table: fc.integer({ min: 0, max: 2 }),
  run: fc.integer({ min: 0, max: 3 }),
  day: fc.integer({ min: 0, max: 2 }),
  revision: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 3 })),
  content: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 1 })),
})
type Said = typeof said extends fc.Arbitrary<infer One> ? One : never

/** Every fact has a time of its own: where times are equal the ids decide, which are given in the order of arrival. */
function recordOf({ table, run, day, revision, content }: Said): NewMetadataRecord {
  return volume(day, {
    target: { ...TARGET, table: `t${table}` },
    context: { namespace: 'ingest', runId: `run-${run}` },
    revision,
    payload: counted(revision * 10 + content),
    links: { outputs: [{ ...TARGET, table: `t${table}` }], parent: 'all' },
    // A correction may be dated before what it corrects.
    producedAt: new Date(Date.UTC(2025, 0, 1 + run, 12 - revision * 5, table)).toISOString(),
  })
}

describe('the storing statement', () => {
  const bench = useDispatch()

  type Stored = {
    readonly series: string
    readonly fact: string
    readonly revision: number
    readonly said: number
    readonly effective: bigint
    readonly ordered: bigint
    readonly produced: bigint
    readonly id: string
    readonly latest: boolean
  }
  const stored = () =>
    bench.query<Stored>(`
      select t.table_name as series, concat_ws(' ', t.table_name, r.run_id, r.window_end) as fact, r.revision,
             (r.body #>> '{payload,records}')::int as said, r.effective_at as effective, r.ordered_at as ordered,
             r.produced_at as produced, r.record_id as id, l.record_id is not null as latest
        from metadata.record r
        join metadata.target t using (target_no)
        left join metadata.latest l using (record_id)
       order by fact, revision`)

  /** What a writer was told of each record, once nothing waits for what another has yet to store. */
  const writeAll = async (batches: readonly (readonly NewMetadataRecord[])[]) => {
    const writers = Array.from({ length: WRITERS }, () => bench.open())
    const repositories = writers.map(({ db, kinds }) =>
      openPostgresRepository({ store: { db, names: createNameBook(), kinds }, environment: OURS }),
    )
    const results = new Map<NewMetadataRecord, StoreResult>()
    let waiting = batches
    for (let round = 0; round < ROUNDS_MAX && waiting.length > 0; round++) {
      const lists = repositories.map((_, writer) => waiting.filter((_, index) => index % WRITERS === writer))
      await Promise.all(
        repositories.map(async (repository, writer) => {
          for (const batch of lists[writer] ?? []) {
            const told = await repository.bulkStore(batch)
            for (const [index, record] of batch.entries()) results.set(record, told[index] as StoreResult)
          }
        }),
      )
      const again = batches.flat().filter((record) => {
        const result = results.get(record)
        return result?.outcome === 'refused' && result.problem.retriable
      })
      waiting = again.length === 0 ? [] : [again]
    }
    for (const writer of writers) await writer.close()
    return results
  }

  test('whatever writers send at once, each fact is stored once, in the order of its revisions, and latest is the greatest', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(said, { maxLength: 25 }), { minLength: 3, maxLength: 9 }), async (batches) => {
        await bench.clear()
        const records = batches.map((batch) => batch.map(recordOf))
        const results = await writeAll(records)
        const rows = await stored()
        const name = ({ fact, revision }: Stored) => `${fact} ${revision}`
        // Each once, and each revision after the one before.
        expect(new Set(rows.map(name)).size).toBe(rows.length)
        for (const row of rows) {
          const before = rows.find(({ fact, revision }) => fact === row.fact && revision === row.revision - 1)
          if (row.revision > 0) expect(before, name(row)).toBeDefined()
          // Never before what it corrects.
          const ordered = before !== undefined && before.ordered > row.produced ? before.ordered : row.produced
          expect(row.ordered).toBe(ordered)
        }
        // Every answer is true.
        const byId = new Map(rows.map((row) => [row.id, row]))
        for (const [record, result] of results) {
          if (result.outcome === 'refused') {
            expect(['idempotency-conflict', 'revision-gap']).toContain(result.problem.code)
            if (result.problem.code === 'idempotency-conflict')
              expect(byId.get(result.recordId ?? '')?.said).not.toBe(record.payload.records)
          } else {
            const row = byId.get(result.recordId)
            expect([row?.revision, row?.said]).toEqual([record.revision, record.payload.records])
          }
        }
        const news = [...results.values()].filter(({ outcome }) => outcome === 'stored')
        expect(new Set(news.map((result) => result.outcome === 'stored' && result.recordId)).size).toBe(rows.length)
        expect(news).toHaveLength(rows.length)
        // Latest is a function of what is stored.
        const greatest = new Map<string, Stored>()
        for (const row of rows) {
          const known = greatest.get(row.series)
          if (known === undefined || isLater(row, known)) greatest.set(row.series, row)
        }
        const latest = rows.filter((row) => row.latest).map(({ id }) => id)
        expect(latest.sort()).toEqual([...greatest.values()].map(({ id }) => id).sort())
      }),
      { numRuns: 15 },
    )
  }, 120_000)

  test('batches of the same facts in opposite orders wait for each other and never deadlock', async () => {
    for (let round = 0; round < OPPOSITE_ROUNDS; round++) {
      await bench.clear()
      const records = Array.from({ length: 200 }, (_, run) =>
        recordOf({ table: run % 20, run, day: 0, revision: 0, content: 0 }),
      )
      const turned = records.map((record) => ({ ...record })).reverse()
      const results = [...(await writeAll([records, turned, records.map((record) => ({ ...record }))])).values()]
      expect(results.filter(({ outcome }) => outcome === 'stored')).toHaveLength(200)
      expect(results.filter(({ outcome }) => outcome === 'replayed')).toHaveLength(400)
    }
  })

  test('any order and repetition of what agrees leads to the same state', async () => {
    const facts = fc.uniqueArray(
      said.map((one) => ({ ...one, content: 0 })),
      { selector: (one) => JSON.stringify(one), minLength: 1, maxLength: 15 },
    )
    await fc.assert(
      fc.asyncProperty(facts, fc.infiniteStream(fc.nat(1_000)), async (some, random) => {
        const pick = () => random.next().value ?? 0
        await bench.clear()
        await writeAll([some.map(recordOf)])
        const { outbox: _, ...expected } = await bench.state()
        const shuffled = [...some, ...some].map((one) => [pick(), one] as const).sort(([a], [b]) => a - b)
        const batches: Said[][] = [[], [], [], []]
        for (const [at, one] of shuffled) batches[at % batches.length]?.push(one)
        await bench.clear()
        await writeAll(batches.map((batch) => batch.map(recordOf)))
        const { outbox: __, ...state } = await bench.state()
        expect(state).toEqual(expected)
      }),
      { numRuns: 15 },
    )
  }, 120_000)
})

type Order = { readonly effective: bigint; readonly ordered: bigint; readonly revision: number; readonly id: string }

function isLater(a: Order, b: Order): boolean {
  if (a.effective !== b.effective) return a.effective > b.effective
  if (a.ordered !== b.ordered) return a.ordered > b.ordered
  if (a.revision !== b.revision) return a.revision > b.revision
  return a.id > b.id
}
