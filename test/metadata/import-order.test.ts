import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { at, line, manifest, ORDERS, useImport, window } from './import-bench.ts'

const LINES = { ...ORDERS, table: 'lines' }
const REFUNDS = { ...ORDERS, table: 'refunds' }

// Two runs of two tables, told by halves, twice, and differently: a retried slice, a copy of a log that says other
// counts at the same time or of another window, a manifest that was written again, slices that only a manifest places, a window that only
// one of two manifests knows, a whole run beside its slices, guard, checks and catalogs.
const ARTIFACTS: readonly (readonly [string, object])[] = [
  ['a.jsonl', line('s1', 'started', at(8))],
  ['a.jsonl', line('s1', 'completed', at(8, '00:01:00'), { rows: 10, bytes: 5 })],
  ['copy.jsonl', line('s1', 'completed', at(8, '00:01:00'), { rows: 10, bytes: 5 })],
  ['other.jsonl', line('s1', 'completed', at(8, '00:01:00'), { rows: 11, ...window(1, 2) })],
  ['third.jsonl', line('s1', 'completed', at(8, '00:01:00'), { rows: 9, bytes: 7, ...window(1, 2) })],
  ['a.jsonl', line('s2', 'failed', at(8, '00:02:00'), { error: 'gone' })],
  ['b.jsonl', line('s2', 'completed', at(8, '00:03:00'), { rows: 20 })],
  ['b.jsonl', { run_id: 'r1', event: 'completed', ts: at(8, '00:04:00'), rows: 31 }],
  ['m1.json', manifest([{ slice: 's1', ...window(1, 3) }, { slice: 's2' }])],
  ['m2.json', manifest([{ slice: 's1', rows: 12, ...window(1, 2) }], { created_at: at(10), filter: { a: 1 } })],
  [
    'm3.json',
    manifest(
      [
        { slice: 's2', ...window(5, 6) },
        { slice: 's3', rows: 1 },
      ],
      LINES,
    ),
  ],
  ['c.jsonl', { run_id: 'r2', ...ORDERS, event: 'completed', ts: at(11), rows: 3, ...window(6, 7), job_id: 'j' }],
  ['c.jsonl', { run_id: 'r2', ...ORDERS, slice: 'x', event: 'completed', ts: at(11), rows: 4, ...window(2, 3) }],
  ['g.json', { run_id: 'r1', ...ORDERS, decision: 'warn', reasons: ['x'], decided_at: at(7) }],
  ['g.json', { run_id: 'r1', ...ORDERS, decision: 'pass', decided_at: at(7) }],
  [
    'q.json',
    { run_id: 'q', ...ORDERS, check: 'volume', metric: 'rows', outcome: 'fail', observed: 1, checked_at: at(5) },
  ],
  [
    'q.json',
    {
      run_id: 'q',
      ...ORDERS,
      check: 'volume',
      metric: 'rows',
      outcome: 'pass',
      observed: 2,
      checked_at: at(6),
      ...window(1, 2),
    },
  ],
  ['d.jsonl', { run_id: 'r3', ...REFUNDS, slice: 'x', event: 'completed', ts: at(14), rows: 1, ...window(12, 13) }],
  ['d.jsonl', { run_id: 'r3', ...REFUNDS, slice: 'x', event: 'completed', ts: at(14), rows: 9, ...window(2, 3) }],
  [
    'k.json',
    {
      ...ORDERS,
      place: 'csv',
      taken_at: at(3),
      columns: [
        { name: 'b', type: 'text' },
        { name: 'a', type: 'text' },
      ],
    },
  ],
  ['k.json', { ...ORDERS, place: 'csv', taken_at: at(4), columns: [{ name: 'a', type: 'text' }] }],
  ['k2.json', { ...ORDERS, place: 'csv', taken_at: at(4), columns: [{ name: 'c', type: 'text' }] }],
]

describe('history import', () => {
  const bench = useImport()

  /** One import per list of artifacts, each in a file of its own. */
  const importAll = async (imports: readonly (readonly number[])[]) => {
    await bench.clear()
    for (const numbers of imports) {
      const files = numbers.map((number) => {
        const [name, value] = ARTIFACTS[number] ?? ['', {}]
        return { name, text: JSON.stringify(value) }
      })
      const summary = await bench.run(files)
      expect([summary.problems.count, summary.records.refused.count]).toEqual([0, 0])
    }
    return bench.state()
  }

  test('leads to the same in any order, with any repetition, split over any number of imports', async () => {
    const all = ARTIFACTS.map((_, number) => number)
    const expected = await importAll([all])
    const order = fc.shuffledSubarray([...all, ...all], { minLength: all.length * 2 })
    // How many of the order each import takes; the last takes the rest.
    const sizes = fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 8 })
    await fc.assert(
      fc.asyncProperty(order, sizes, async (numbers, parts) => {
        const imports: number[][] = []
        let start = 0
        for (const size of [...parts, numbers.length]) {
          imports.push(numbers.slice(start, start + size))
          start += size
        }
        expect(await importAll(imports)).toEqual(expected)
      }),
      { numRuns: 15 },
    )
  })
})
