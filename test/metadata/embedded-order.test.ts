import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { EmbeddedRepository } from '../../shared/metadata/embedded/repository.ts'
import type { NewMetadataRecord } from '../../shared/metadata/model/record.ts'
import { openEmbedded, useFolders } from './embedded-bench.ts'
import { counted, TARGET, volume } from './fact.ts'

const TABLES = ['t0', 't1']

/** One of few facts: `run` and `day` name it. What a revision says is always the same, so no delivery is a conflict. */
const said = fc.record({
  table: fc.integer({ min: 0, max: TABLES.length - 1 }),
  run: fc.integer({ min: 0, max: 3 }),
  day: fc.integer({ min: 0, max: 2 }),
  window: fc.boolean(),
  revision: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 3 })),
})
type Said = typeof said extends fc.Arbitrary<infer One> ? One : never

/** Every fact has a time of its own: where times are equal the ids decide, which are given in the order of arrival. */
function recordOf({ table, run, day, window, revision }: Said): NewMetadataRecord {
  const record = volume(day, {
    target: { ...TARGET, table: TABLES[table] ?? '' },
    context: { namespace: 'ingest', runId: `run-${run}-${day}` },
    scope: window ? '' : 'open',
    revision,
    payload: counted(revision * 10),
    // A correction may be dated before what it corrects.
    producedAt: new Date(Date.UTC(2025, 0, 1 + run, 12 - revision * 5, table, day)).toISOString(),
  })
  if (window) return record
  const { window: _, ...open } = record
  return open
}

/** With every revision before it: a gap is not what is asked about here. */
function wholeFacts(some: readonly Said[]): readonly NewMetadataRecord[] {
  return some.flatMap((one) =>
    Array.from({ length: one.revision + 1 }, (_, revision) => recordOf({ ...one, revision })),
  )
}

async function answersOf(repository: EmbeddedRepository) {
  const answers: unknown[] = []
  for (const table of TABLES) {
    for (const scope of ['', 'open']) {
      const series = { target: { ...TARGET, table }, kind: 'ingestion_volume', scope }
      const latest = await repository.latest(series)
      const { records } = await repository.history(series, { limit: 500 })
      const shown = [...(latest === null ? [] : [latest.record]), ...records]
      answers.push(shown.map(({ recordId: _, storedAt: __, producedAt: ___, ...record }) => record))
      // The newest of the history, except where a correction says it was produced before.
      expect(latest === null).toBe(records.length === 0)
    }
  }
  const days = { kind: 'ingestion_volume', grain: 'day', from: '2024-01-01', to: '2026-01-01' } as const
  return [answers, await repository.aggregate(days, { limit: 500 })]
}

describe('an embedded repository', () => {
  const newFolder = useFolders()

  test('answers alike whatever the order and repetition of what it was told, also after being opened again', async () => {
    const told = fc.array(said, { maxLength: 12 }).chain((some) => {
      const records = wholeFacts(some)
      const order = fc.array(fc.nat({ max: Math.max(0, records.length - 1) }), { maxLength: 20 })
      return fc.record({ records: fc.constant(records), order })
    })
    await fc.assert(
      fc.asyncProperty(told, async ({ records, order }) => {
        const sorted = await openEmbedded((await newFolder()).files)
        await sorted.bulkStore(records)
        const folder = await newFolder()
        const shuffled = await openEmbedded(folder.files)
        for (const place of order) await shuffled.store(records[place] as NewMetadataRecord)
        await shuffled.close()
        const again = await openEmbedded(folder.files)
        const turned = [...records].reverse()
        await again.bulkStore(turned)
        const expected = await answersOf(sorted)
        expect(await answersOf(again)).toEqual(expected)
        await sorted.close()
        await again.close()
        const reopened = await openEmbedded(folder.files)
        expect(await answersOf(reopened)).toEqual(expected)
        await reopened.close()
      }),
      { numRuns: 25 },
    )
  })
})
