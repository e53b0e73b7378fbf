import { test } from 'vitest'
import { KINDS } from '../../shared/metadata/model/kinds.ts'
import { readAllRecords } from '../../shared/metadata/retention/history-reader.ts'
import { TARGET, volume } from './fact.ts'
import { EVER, useRetention } from './retention-bench.ts'

const bench = useRetention()
test('million', async () => {
  const N = Number(process.env.MILLION ?? 1_000_000)
  let t = Date.now()
  const pad = 'x'.repeat(100)
  for (let at = 0; at < N; at += 5_000) {
    const batch = Array.from({ length: 5_000 }, (_, i) =>
      volume(-(at + i) % 8000, {
        target: { ...TARGET, table: `t${(at + i) % 450}` },
        context: { namespace: 'ingest', runId: `run-${at + i}`, jobId: 'alpaca/bars/TSLA/1d' },
        extras: { lane: 'live', note: pad, initiatedBy: 'timer', more: { a: at + i, b: String(at * 7 + i) } },
      }),
    )
    await bench.ours.bulkStore(batch)
  }
  console.log('store', N, (Date.now() - t) / 1000)
  await bench.query(
    `update metadata.record set stored_at = date_trunc('day', now()) - interval '95 days' + interval '1 hour'`,
  )
  await bench.query('vacuum analyze metadata.record')
  globalThis.gc?.()
  let peak = 0
  const before = process.memoryUsage().rss
  const timer = setInterval(() => {
    peak = Math.max(peak, process.memoryUsage().rss)
  }, 50)
  t = Date.now()
  const cpu = process.cpuUsage()
  const times = new Map<string, [number, number]>()
  const timed = bench.open(async (op, run) => {
    const b = performance.now()
    try {
      return await run()
    } finally {
      const k = op.client === 'blob' ? op.action : op.subject
      const e = times.get(k) ?? [0, 0]
      times.set(k, [e[0] + 1, e[1] + performance.now() - b])
    }
  })
  const done = await bench.compact({ ...timed, kinds: new Map([...KINDS].filter(([k]) => k === 'ingestion_volume')) })
  const used = process.cpuUsage(cpu)
  console.log(
    'compact',
    JSON.stringify(done),
    (Date.now() - t) / 1000,
    's cpu',
    (used.user + used.system) / 1e6,
    'rss before',
    before / 1e6,
    'peak',
    peak / 1e6,
  )
  console.log([...times].map(([k, [n, ms]]) => `${k} ${n} ${ms.toFixed(0)}ms`).join('\n'))
  await timed.close()
  for await (const b of bench.files.list('')) console.log(b.path, b.bytes)
  t = Date.now()
  peak = 0
  let n = 0
  for await (const _ of readAllRecords(bench, { tenant: 'ours', kind: 'ingestion_volume', ...EVER })) n++
  console.log('read all', n, (Date.now() - t) / 1000, 'peak', peak / 1e6)
  t = Date.now()
  n = 0
  for await (const _ of readAllRecords(bench, {
    tenant: 'ours',
    kind: 'ingestion_volume',
    ...EVER,
    target: { ...TARGET, table: 't7' },
  }))
    n++
  console.log('read one target', n, (Date.now() - t) / 1000)
  clearInterval(timer)
}, 1_800_000)
