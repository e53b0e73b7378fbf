import { storableJson } from '../json.ts'
import type { Queryable, Statement } from '../postgres/database.ts'

/** What a person did, in the transaction that does it. */
export type AuditEntry = {
  /** Who: a name that the caller knows to be true, or `unknown`. */
  readonly actor: string
  readonly action: string
  readonly subject: string
  readonly before?: unknown
  readonly after?: unknown
}

const INSERT: Statement = {
  name: 'record_audit',
  text: `
insert into ops.audit (actor, action, subject, before, after)
values ($1::text, $2::text, $3::text, $4::jsonb, $5::jsonb)`,
}

export async function recordAudit(tx: Queryable, { actor, action, subject, before, after }: AuditEntry): Promise<void> {
  const json = (value: unknown) => (value === undefined ? null : storableJson(value))
  await tx.query(INSERT, [actor, action, subject, json(before), json(after)])
}
