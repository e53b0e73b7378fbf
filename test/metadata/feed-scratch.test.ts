import { readFileSync } from 'node:fs'
import { test, describe } from 'vitest'
import { READ_FEED, READ_FEED_OF } from '../../shared/metadata/feed/feed-statements.ts'
import { readFeed } from '../../shared/metadata/feed/feed.ts'
import { volume, COUNTS } from './fact.ts'
import { useFeed } from './feed-bench.ts'
const cpuOf = (pid: number) => { const f = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' '); return (Number(f[11]) + Number(f[12])) * 10 }
describe('scratch', () => {
  const feed = useFeed()
  test('speed', { timeout: 200_000 }, async () => {
    await feed.store([volume(0, { payload: { ...COUNTS, filter: { text: 'x'.repeat(300), a: Array.from({ length: 50 }, (_, i) => `v${i}`) } } })])
    for (let i = 0; i < 10; i++) await feed.query(`
insert into metadata.record (record_id, tenant_no, target_no, kind, scope, effective_at, ordered_at, kind_version,
       producer_id, run_id, window_start, window_end, quality, produced_at, body)
select gen_random_uuid(), tenant_no, target_no, kind, scope, effective_at, ordered_at, kind_version,
       producer_id, run_id || g, window_start, window_end, quality, produced_at, body
  from metadata.record, generate_series(1, 5000) g
 where run_id = 'run-0'`)
    await feed.query('analyze metadata.record')
    await feed.settle()
    const plans = await feed.db().transaction(async (tx) => {
      await tx.query({ name: 'a', text: 'set local plan_cache_mode = force_generic_plan' })
      await tx.query({ name: 'b', text: `prepare q (xid8, bigint, timestamptz, int) as ${READ_FEED.text}` })
      await tx.query({ name: 'b2', text: `prepare q2 (xid8, bigint, timestamptz, int, int, text, text) as ${READ_FEED_OF.text}` })
      return [...await tx.query<Record<string, string>>({ name: 'c', text: `explain (analyze, buffers) execute q ('0', 0, null, 500)` }),
      ...await tx.query<Record<string, string>>({ name: 'd', text: `explain (analyze, buffers) execute q2 ('0', 0, null, 500, 5000, 'ours', null)` })]
    })
    if (process.env.PLANS) console.log(plans.map((r) => r['QUERY PLAN']).join('\n'))
    for (const tenant of [null, null, 'ours', 'theirs'] as const) await feed.db().transaction(async (tx) => {
      const [b] = await tx.query<{ pid: number }>({ name: 'pid', text: 'select pg_backend_pid() as pid' })
      const pid = b!.pid
      let n = 0, position = null
      const p0 = cpuOf(pid), c0 = process.cpuUsage(), t0 = performance.now()
      for (;;) {
        const p = await readFeed(tx, { tenant, after: position, limit: 500 }); n += p.records.length; position = p.position; if (p.end) break
      }
      const c = process.cpuUsage(c0)
      console.log(tenant, n, 'pg us/row', (cpuOf(pid) - p0) * 1000 / n, 'node us/row', (c.user + c.system) / n, 'wall us/row', (performance.now() - t0) * 1000 / n, 'wall ms', performance.now() - t0)
    })
  })
})
