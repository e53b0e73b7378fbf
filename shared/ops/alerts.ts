import { storableJson } from '../json.ts'
import type { Queryable, Statement } from '../postgres/database.ts'

export type AlertSeverity = 'warning' | 'critical'

export type Alert = {
  readonly kind: string
  readonly severity: AlertSeverity
  /** What it is about: a stream, an ingest, a queue, a path. One alert of a kind is open per subject. */
  readonly subject: string
  readonly detail: Readonly<Record<string, unknown>>
}

// Opened once: a repetition only refreshes the detail.
const OPEN: Statement = {
  name: 'open_alert',
  text: `
insert into ops.alert (kind, severity, subject, detail)
values ($1::text, $2::text, $3::text, $4::jsonb)
on conflict (kind, subject) where closed_at is null do update set detail = excluded.detail, last_seen_at = now()`,
}

const CLOSE: Statement = {
  name: 'close_alert',
  text: `update ops.alert set closed_at = now() where kind = $1::text and subject = $2::text and closed_at is null`,
}

export async function openAlert(db: Queryable, { kind, severity, subject, detail }: Alert): Promise<void> {
  await db.query(OPEN, [kind, severity, subject, storableJson(detail)])
}

export async function closeAlert(db: Queryable, kind: string, subject: string): Promise<void> {
  await db.query(CLOSE, [kind, subject])
}
