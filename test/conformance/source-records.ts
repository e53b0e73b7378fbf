import { expect, test } from 'vitest'
import type { Fault } from '../../jobs/local/providers/faults.ts'
import { contentOf, curatedColumn, ingestsOf } from './source-fixtures.ts'
import type { Suite } from './source-under-test.ts'

/** A record of the first page whose field is spoiled. */
const SPOILED_ROW = 7

export function recordCases({ source, open, clean }: Suite): void {
  const { records } = source
  test.each(source.fields.map(([fault, becomes]) => [fault.change, fault.field, becomes] as const))(
    '%s of the field %s in one record: %j',
    async (change, field, becomes) => {
      const faults: readonly Fault[] = [{ kind: 'field', change, field, row: SPOILED_ROW }]
      const bench = await open({ provider: { faults } })
      await bench.settle()
      const rejects = await bench.query(
        `select page_no as page, ordinal, code || ' ' || detail as reject from provenance.reject`,
      )
      if ('reject' in becomes) {
        expect(rejects).toEqual([{ page: 0, ordinal: SPOILED_ROW, reject: becomes.reject }])
        const counts = { records, inserted: records - 1, rejected: 1 }
        expect(await ingestsOf(bench)).toEqual([{ state: 'published', epoch: 2, ...counts }])
      } else {
        expect(rejects).toEqual([])
        expect(await ingestsOf(bench)).toEqual([{ state: 'published', epoch: 2, records, inserted: records }])
        const values = await curatedColumn(bench, becomes.column)
        expect(String(values[SPOILED_ROW])).toBe(becomes.value)
      }
      expect((await contentOf(bench)).published).toEqual(clean().published)
    },
  )

  test('a field that nobody knows changes nothing', async () => {
    const [fault] = source.fields.map(([{ field }]) => ({ kind: 'field', change: 'extra', field }) as const)
    const bench = await open({ provider: { faults: [fault] } })
    await bench.settle()
    expect(await contentOf(bench)).toEqual(clean())
  })
}
