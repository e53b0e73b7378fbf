import { describe, expect, test } from 'vitest'
import type { NewMetadataRecord } from '../../shared/metadata/model/record.ts'
import { counted, TARGET, volume } from '../metadata/fact.ts'
import type { RepositoryHands } from './repository-hands.ts'

/** What is the latest of a series, in whatever order records came. */
export function describeLatest({ ours, series, latestCount, storeAll }: RepositoryHands): void {
  describe('latest', () => {
    test('of nothing is null', async () => {
      expect(await ours().latest(series('nothing'))).toBeNull()
    })

    test('of many comes in their order, with null where there is none', async () => {
      await storeAll(volume(0, { target: { ...TARGET, table: 'many a' }, payload: counted(1) }))
      await storeAll(volume(0, { target: { ...TARGET, table: 'many b' }, payload: counted(2) }))
      const found = await ours().latestOfMany(['many b', 'many c', 'many a', 'many b'].map(series))
      expect(found.map((latest) => latest?.record.payload.records ?? null)).toEqual([2, null, 1, 2])
      expect(found[2]).toEqual(await ours().latest(series('many a')))
      expect(await ours().latestOfMany([])).toEqual([])
      await expect(ours().latestOfMany(Array(501).fill(series('many a')))).rejects.toMatchObject({
        name: 'QueryError',
        code: 'invalid-query',
      })
    })

    test('a record of an older window displaces nothing newer, whenever it comes', async () => {
      const record = (day: number) =>
        volume(day, {
          target: { ...TARGET, table: 'late' },
          payload: counted(day),
          producedAt: '2025-01-01T00:00:00Z',
        })
      await storeAll(record(5))
      await storeAll(record(3))
      expect(await latestCount('late')).toBe(5)
      await storeAll(record(6), record(4))
      expect(await latestCount('late')).toBe(6)
    })

    test('a correction displaces what it corrects, also when it says it was produced before', async () => {
      const first = volume(0, { target: { ...TARGET, table: 'corrected' }, payload: counted(1) })
      const second = { ...first, revision: 1, payload: counted(2), producedAt: '2024-06-01T00:00:00Z' }
      await storeAll(first)
      await storeAll(second)
      expect(await latestCount('corrected')).toBe(2)
    })

    test('without a window the time of production decides', async () => {
      const record = (runId: string, producedAt: string, records: number): NewMetadataRecord => {
        const { window: _, ...rest } = volume(0, { target: { ...TARGET, table: 'no window' } })
        return { ...rest, context: { namespace: 'ingest', runId }, producedAt, payload: counted(records) }
      }
      await storeAll(record('b', '2024-03-02T00:00:00.000002Z', 2), record('a', '2024-03-02T00:00:00.000001Z', 1))
      expect(await latestCount('no window')).toBe(2)
    })

    test('is of one scope; without one, of the whole target', async () => {
      const target = { ...TARGET, table: 'scopes' }
      await storeAll(
        volume(0, { target, payload: counted(1) }),
        volume(9, { target, scope: 'day', payload: counted(9) }),
      )
      expect(await latestCount('scopes')).toBe(1)
      expect((await ours().latest({ ...series('scopes'), scope: 'day' }))?.record.payload.records).toBe(9)
    })

    test('its change number grows with every displacement and stays otherwise', async () => {
      const record = (day: number) => volume(day, { target: { ...TARGET, table: 'changes' } })
      const changes: (number | undefined)[] = []
      for (const day of [1, 2, 0, 2, 3]) {
        await storeAll(record(day))
        changes.push((await ours().latest(series('changes')))?.changeNo)
      }
      expect(changes).toEqual([1, 2, 2, 2, 3])
    })
  })
}
