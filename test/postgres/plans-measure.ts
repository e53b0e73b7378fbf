import { writeFileSync } from 'node:fs'
import { test } from 'vitest'
import { planLookbacks } from '../../shared/ingest/plan/plan-lookback.ts'
import { planTick } from '../../shared/ingest/plan/plan-tick.ts'
import { sweep } from '../../shared/ingest/sweep.ts'
import { openMetadata } from '../../shared/metadata/metadata.ts'
import { reconcileAlerts } from '../../shared/ops/standing-alerts.ts'
import { readStatus } from '../../shared/ops/status.ts'
import { openPlatform } from '../../shared/platform.ts'
import { openDatabase } from '../../shared/postgres/database.ts'
import { streamFileOf } from './plans-past.ts'

test('measure', async () => {
  const url = new URL(process.env.N2_URL as string)
  url.pathname = '/' + process.env.N2_DB
  const past = JSON.parse(process.env.N2_PAST as string)
  writeFileSync('/tmp/n2/streams.json', streamFileOf(past))
  const times = new Map<string, number[]>()
  const hook = async (op: any, run: any) => {
    const t = performance.now()
    try {
      return await run()
    } finally {
      ;(times.get(op.subject) ?? times.set(op.subject, []).get(op.subject)!).push(performance.now() - t)
    }
  }
  const db = openDatabase(
    {
      connection: { kind: 'url', url: url.href + '?statement_timeout=200000' },
      connectionsMax: 2,
      applicationName: 'm',
    },
    hook,
  )
  const opened = openPlatform({
    env: {
      DATABASE_URL: url.href,
      AzureWebJobsStorage: 'UseDevelopmentStorage=true',
      TRIBUTARY_STREAMS: '/tmp/n2/streams.json',
    },
    sink: (_l, line) =>
      process.stdout.write(line.event === 'alert_opened' ? '' : JSON.stringify(line).slice(0, 300) + '\n'),
  })
  const metadata = openMetadata({
    settings: opened.settings.metadata,
    own: db,
    lakeStorage: opened.settings.lakeStorage,
    hook,
  })
  const platform = { ...opened, db, metadata, queues: { ...opened.queues, send: async () => {} } }
  const step = async (name: string, work: () => Promise<unknown>) => {
    times.clear()
    const t = performance.now()
    const c = process.cpuUsage()
    try {
      await work()
    } catch (e) {
      process.stdout.write(`${name} FAILED ${e}\n`)
    }
    const u = process.cpuUsage(c)
    process.stdout.write(
      `== ${name} ${Math.round(performance.now() - t)} ms, node cpu ${Math.round((u.user + u.system) / 1000)} ms, rss ${Math.round(process.memoryUsage.rss() / 1048576)}\n`,
    )
    for (const [s, l] of [...times]
      .sort((a, b) => b[1].reduce((x, y) => x + y, 0) - a[1].reduce((x, y) => x + y, 0))
      .slice(0, 8))
      process.stdout.write(
        `   ${s} n=${l.length} sum=${Math.round(l.reduce((x, y) => x + y, 0))} max=${Math.round(Math.max(...l))}\n`,
      )
  }
  const steps: Record<string, () => Promise<unknown>> = {
    plan: () => planTick(platform),
    plan2: () => planTick(platform),
    lookback: () => planLookbacks(db, { initiatedBy: 'm', pipelineRunId: null }),
    sweep: () => sweep(platform),
    alerts: () => reconcileAlerts(db),
    status: () => readStatus(db),
  }
  for (const s of (process.env.N2_STEPS ?? 'plan,plan2,lookback,sweep,alerts,status').split(','))
    await step(s, steps[s] as () => Promise<unknown>)
  await opened.close()
  await db.close()
})
