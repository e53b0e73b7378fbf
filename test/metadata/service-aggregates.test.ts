import { describe, expect, test } from 'vitest'
import { TARGET, volume } from './fact.ts'
import { useService } from './service-bench.ts'

describe('aggregates over HTTP', () => {
  const bench = useService()
  const query = 'kind=ingestion_volume&grain=day&from=2024-01-01&to=2024-02-01'

  test('are the cells of the rollups, page by page, of this tenant alone', async () => {
    await bench.ours.store(volume(0, { target: { ...TARGET, table: 'rolled' } }))
    await bench.query(`
insert into metadata.rollup (target_no, kind, scope, metric, grain, bucket, n, total, min_value, max_value)
select target_no, 'ingestion_volume', '', 'records', 'day', date '2024-01-01' + day, 1, day, day, day
  from metadata.target cross join generate_series(0, 4) as day where table_name = 'rolled'`)
    const totals: number[] = []
    let next = ''
    do {
      const { body } = await bench.ask('GET', `/aggregates?${query}&metric=records&limit=2${next}`)
      totals.push(...body.cells.map(({ total }: { total: number }) => total))
      next = body.next === null ? '' : `&cursor=${encodeURIComponent(body.next)}`
    } while (next !== '')
    expect(totals).toEqual([0, 1, 2, 3, 4])
    const theirs = await bench.ask('GET', `/aggregates?${query}`, { token: bench.tokens.theirs })
    expect(theirs.body).toEqual({ cells: [], next: null })
  })
})
