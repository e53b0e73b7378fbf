import { beforeEach, describe, expect, test } from 'vitest'
import { signalsConsumer } from '../../shared/metadata/consumers/signals.ts'
import { restartFeed } from '../../shared/metadata/feed/feed.ts'
import { schemaFingerprint } from '../../shared/metadata/model/kinds/schema-snapshot.ts'
import type { NewMetadataRecord } from '../../shared/metadata/model/record.ts'
import { TARGET, volume } from './fact.ts'
import { useFeed } from './feed-bench.ts'

const ACCEPTED = [{ name: 'ts', type: 'timestamptz' }]
const NEW = [{ name: 'ts', type: 'text' }]
const [A, B] = [schemaFingerprint(ACCEPTED), schemaFingerprint(NEW)]
const DIFF = 'd'.repeat(64)
const SUBJECT = 'ours/alpaca/bars/TSLA/1d'

describe('signals of what was stored', () => {
  const feed = useFeed()
  beforeEach(() => feed.clear())
  const follow = () => feed.run(signalsConsumer({ log: feed.bench.source.log, alerts: feed.db() }))
  const alerts = () =>
    feed.query<{ alert: string; detail: Record<string, unknown> }>(
      `select concat_ws(' ', kind, severity, subject, case when closed_at is null then 'open' else 'closed' end) as alert,
              detail from ops.alert order by alert_id`,
    )
  const told = async () => (await alerts()).map(({ alert }) => alert)

  // Minutes ago, so that all of it is within a day.
  let facts = 0
  const fact = (kind: string, payload: object, minutesAgo: number, fields: Partial<NewMetadataRecord> = {}) => {
    const { window: _, ...record } = volume(0)
    return {
      ...record,
      context: { namespace: 'test', runId: `run-${++facts}` },
      kind,
      payload,
      producedAt: new Date(Date.now() - minutesAgo * 60_000).toISOString(),
      ...fields,
    }
  }
  const diff = (minutesAgo: number, severity: string, fields: object = {}) =>
    fact(
      'catalog_diff',
      {
        from: A,
        to: B,
        fingerprint: DIFF,
        severity,
        changes: [{ change: 'type_changed', column: 'ts', severity }],
        ...fields,
      },
      minutesAgo,
    )
  const snapshot = (minutesAgo: number, columns: typeof ACCEPTED) =>
    fact('schema_snapshot', { place: 'parquet', fingerprint: schemaFingerprint(columns), columns }, minutesAgo)
  const guard = (minutesAgo: number, outcome: string, fields: object = {}) =>
    fact('guard_decision', { guard: 'ingestion', reasons: ['type of ts'], ...fields }, minutesAgo, { outcome })
  const recon = (minutesAgo: number, outcome: string, check = 'volume', fields: Partial<NewMetadataRecord> = {}) =>
    fact('recon_result', { check, metric: 'rows', observed: 1, expected: 2 }, minutesAgo, { outcome, ...fields })
  const stored = async (...records: readonly unknown[]) => {
    await feed.store(records)
    expect(await follow()).toBe('done')
    return told()
  }

  test('are one line per page: counts by kind, outcome and producer, and no name of a table', async () => {
    await stored(volume(0), volume(1), recon(1, 'pass'), recon(2, 'warn'))
    const lines = feed.bench.logged.filter(({ event }) => event === 'metadata_stored')
    expect(lines).toEqual([
      {
        level: 'info',
        event: 'metadata_stored',
        records: 4,
        counts: expect.arrayContaining([
          { kind: 'ingestion_volume', outcome: null, producer: 'test.v1', count: 2 },
          { kind: 'recon_result', outcome: 'pass', producer: 'test.v1', count: 1 },
          { kind: 'recon_result', outcome: 'warn', producer: 'test.v1', count: 1 },
        ]),
      },
    ])
    expect(JSON.stringify(lines)).not.toContain(TARGET.table)
    expect(await told()).toEqual([])
  })

  describe('schema_drift', () => {
    const open = `schema_drift critical ${SUBJECT} open`
    const closed = `schema_drift critical ${SUBJECT} closed`

    test('is open while the latest difference is breaking, and names it', async () => {
      expect(await stored(diff(30, 'warning'))).toEqual([])
      expect(await stored(diff(20, 'breaking'))).toEqual([open])
      expect((await alerts())[0]?.detail).toMatchObject({ from: A, to: B, fingerprint: DIFF })
      // Told late: it displaces nothing.
      expect(await stored(diff(25, 'info'))).toEqual([open])
      expect(await stored(diff(10, 'compatible'))).toEqual([closed])
    })

    test('is closed by a snapshot with the accepted columns, and by no other', async () => {
      await stored(snapshot(40, ACCEPTED), diff(30, 'breaking'))
      expect(await stored(snapshot(20, NEW))).toEqual([open])
      expect(await stored(snapshot(10, ACCEPTED))).toEqual([closed])
    })

    test('is closed by a guard that lets just this difference pass', async () => {
      await stored(diff(30, 'breaking'))
      expect(await stored(guard(20, 'pass'))).toEqual([open])
      expect(await stored(guard(15, 'pass', { fingerprint: 'e'.repeat(64) }))).toEqual([open])
      expect(await stored(guard(10, 'warn', { fingerprint: DIFF }))).toEqual([closed])
      expect(await stored(diff(5, 'breaking'))).toEqual([closed, open])
    })
  })

  test('guard_block is open while the latest decision is to block, and says why', async () => {
    const subject = `guard_block critical ${SUBJECT}`
    expect(await stored(guard(30, 'block'))).toEqual([`${subject} open`])
    expect((await alerts())[0]?.detail).toMatchObject({ guard: 'ingestion', reasons: ['type of ts'] })
    expect(await stored(guard(40, 'pass'))).toEqual([`${subject} open`])
    expect(await stored(guard(20, 'warn'))).toEqual([`${subject} closed`])
  })

  describe('recon_timeouts', () => {
    const open = `recon_timeouts warning ${SUBJECT} open`
    const closed = `recon_timeouts warning ${SUBJECT} closed`

    test('is open from the third failure of one check in a day on, and closed by a pass of it', async () => {
      expect(await stored(recon(50, 'fail'), recon(40, 'error'), recon(45, 'fail', 'silence'))).toEqual([])
      expect(await stored(recon(30, 'fail'))).toEqual([open])
      expect((await alerts())[0]?.detail).toEqual({ check: 'volume', failures: 3 })
      expect(await stored(recon(20, 'pass', 'silence'))).toEqual([open])
      expect(await stored(recon(10, 'pass'))).toEqual([closed])
      expect(await stored(recon(5, 'fail'), recon(4, 'fail'))).toEqual([closed])
    })

    test('knows neither failures of yesterday nor imported ones nor those of other targets', async () => {
      const other = { ...TARGET, table: 'other' }
      const old = recon(60 * 24 * 30, 'fail')
      expect(
        await stored(
          recon(60 * 25, 'fail'),
          old,
          { ...old, context: { namespace: 'test', runId: 'import' }, quality: 'backfilled' },
          recon(10, 'fail', 'volume', { target: other }),
          recon(9, 'fail'),
        ),
      ).toEqual([])
      await feed.store([recon(8, 'fail'), recon(7, 'fail')], 'theirs')
      expect(await follow()).toBe('done')
      expect(await told()).toEqual([])
    })
  })

  test('are the same in whatever order records came, and however often', async () => {
    const all = [
      diff(50, 'breaking'),
      guard(45, 'block', { fingerprint: DIFF }),
      guard(40, 'pass', { fingerprint: DIFF }),
      ...[30, 20, 10].map((minutes) => recon(minutes, 'fail')),
      recon(35, 'pass'),
    ]
    for (const order of [all, all.toReversed(), [...all.slice(3), ...all, ...all]]) {
      await feed.clear()
      await restartFeed(feed.db(), { actor: 'ada', reason: 'test' })
      for (const record of order) await stored(record)
      expect((await told()).filter((alert) => alert.endsWith('open'))).toEqual([
        `recon_timeouts warning ${SUBJECT} open`,
      ])
    }
  })
})
