import { formatInstant } from '../../instant.ts'
import type { Log } from '../../log/log.ts'
import { type Alert, closeAlert, openAlert } from '../../ops/alerts.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import type { FeedConsumer } from '../feed/consumer.ts'
import type { FedRecord } from '../feed/feed.ts'
import { type SignalState, type SignalTarget, signalStates } from './signal-state.ts'

export const SIGNALS_CONSUMER = 'signals'

/** The records whose coming may open or close an alert of each kind. */
const TOLD_BY: Readonly<Record<string, readonly string[]>> = {
  schema_drift: ['catalog_diff', 'schema_snapshot', 'guard_decision'],
  guard_block: ['guard_decision'],
  recon_timeouts: ['recon_result'],
}
const ALERT_KINDS = Object.keys(TOLD_BY)

const OPEN_ALERTS: Statement = {
  name: 'open_metadata_alerts',
  text: `select kind, subject from ops.alert where closed_at is null and kind = any($1::text[]) and subject = any($2::text[])`,
}

export type SignalsOptions = {
  readonly log: Log
  /** The producers' database, where people look for alerts. */
  readonly alerts: Queryable
}

/**
 * Tells people and metrics what was stored. One line per page, whose counts name kind, outcome and producer and no more:
 * a metric has room for few names. Alerts are about targets, and follow from what is the latest of each: order and
 * repetition of records make no difference, and the record that says it is over closes them.
 */
export function signalsConsumer({ log, alerts }: SignalsOptions): FeedConsumer {
  return {
    name: SIGNALS_CONSUMER,
    async consume(records, { db, readAt }) {
      const touched = touchedTargets(records)
      if (touched.length > 0) {
        const targets = touched.map(({ target }) => target)
        const states = await signalStates(db, targets, readAt)
        const open = await alerts.query<OpenAlert>(OPEN_ALERTS, [ALERT_KINDS, touched.map(({ subject }) => subject)])
        for (const state of states) {
          const one = touched[state.n - 1]
          if (one !== undefined) await reconcile(alerts, one, { state, open })
        }
      }
      log.info('metadata_stored', { records: records.length, counts: countsOf(records) })
    },
  }
}

type OpenAlert = { readonly kind: string; readonly subject: string }
type Touched = { readonly subject: string; readonly target: SignalTarget; readonly kinds: Set<string> }

async function reconcile(
  alerts: Queryable,
  { subject, kinds }: Touched,
  { state, open }: { readonly state: SignalState; readonly open: readonly OpenAlert[] },
): Promise<void> {
  const desired = alertsOf(subject, state)
  for (const [kind, toldBy] of Object.entries(TOLD_BY)) {
    if (!toldBy.some((one) => kinds.has(one))) continue
    const alert = desired.find((one) => one.kind === kind)
    const isOpen = open.some((one) => one.kind === kind && one.subject === subject)
    if (alert !== undefined) await openAlert(alerts, alert)
    else if (isOpen) await closeAlert(alerts, kind, subject)
  }
}

function touchedTargets(records: readonly FedRecord[]): readonly Touched[] {
  const touched = new Map<string, Touched>()
  for (const { tenant, record } of records) {
    if (!Object.values(TOLD_BY).some((kinds) => kinds.includes(record.kind))) continue
    const { sourceId, schema, table } = record.target
    const names = [tenant, sourceId, schema, table]
    const target = { tenant, sourceId, schema, table }
    const known = touched.get(JSON.stringify(names)) ?? { subject: names.join('/'), target, kinds: new Set<string>() }
    known.kinds.add(record.kind)
    touched.set(JSON.stringify(names), known)
  }
  return [...touched.values()]
}

function alertsOf(subject: string, state: SignalState): readonly Alert[] {
  const alerts: Alert[] = []
  if (hasDrifted(state)) {
    const { diffFrom, diffTo, diffFingerprint, diffAt } = state
    const detail = { from: diffFrom, to: diffTo, fingerprint: diffFingerprint, since: diffAt && formatInstant(diffAt) }
    alerts.push({ kind: 'schema_drift', severity: 'critical', subject, detail })
  }
  if (state.guardOutcome === 'block') {
    const { guard, guardReasons: reasons, guardFingerprint: fingerprint } = state
    alerts.push({ kind: 'guard_block', severity: 'critical', subject, detail: { guard, reasons, fingerprint } })
  }
  if (state.failures !== null) {
    const { check, failures } = state
    alerts.push({ kind: 'recon_timeouts', severity: 'warning', subject, detail: { check, failures } })
  }
  return alerts
}

/** A breaking difference, until the target has its accepted columns again, or a guard has let just this difference pass. */
function hasDrifted(state: SignalState): boolean {
  const { diffAt, diffSeverity, diffFrom, diffFingerprint, snapshotAt, snapshotFingerprint } = state
  if (diffAt === null || diffSeverity !== 'breaking') return false
  if (snapshotAt !== null && snapshotAt >= diffAt && snapshotFingerprint === diffFrom) return false
  const { guardAt, guardOutcome, guardFingerprint } = state
  return !(
    guardAt !== null &&
    guardAt >= diffAt &&
    guardOutcome !== 'block' &&
    guardFingerprint !== null &&
    guardFingerprint === diffFingerprint
  )
}

function countsOf(records: readonly FedRecord[]) {
  const counts = new Map<string, { kind: string; outcome: string | null; producer: string; count: number }>()
  for (const { record } of records) {
    const { kind, outcome = null, producerId: producer } = record
    const name = JSON.stringify([kind, outcome, producer])
    const known = counts.get(name) ?? { kind, outcome, producer, count: 0 }
    known.count++
    counts.set(name, known)
  }
  return [...counts.values()]
}
