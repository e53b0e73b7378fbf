import type { Instant } from '../../instant.ts'
import { storableJson } from '../../json.ts'
import { recordAudit } from '../../ops/audit.ts'
import type { Database, Queryable, Statement } from '../../postgres/database.ts'
import type { RecordProblem } from '../model/problem.ts'

/** A record that was not stored and will not be by itself. */
export type MetadataReject = {
  readonly tenant: string
  /** As it came. */
  readonly text: string
  readonly problem: RecordProblem
  /** Of a conflict: what is stored instead. */
  readonly recordId?: string | undefined
}

/** open: somebody must look · replayed: given to the outbox again · waived: a person let it go */
export type MetadataRejectState = 'open' | 'replayed' | 'waived'

const KEEP: Statement = {
  name: 'keep_metadata_rejects',
  text: `
insert into metadata.reject (tenant, code, detail, record)
select tenant, code, detail::jsonb, record
  from unnest($1::text[], $2::text[], $3::text[], $4::text[]) as r (tenant, code, detail, record)
 order by tenant, code, md5(record)
on conflict do nothing`,
}

/** In the transaction that gives the records up. One that is open already is not opened again. */
export async function keepRejects(tx: Queryable, rejects: readonly MetadataReject[]): Promise<void> {
  if (rejects.length === 0) return
  await tx.query(KEEP, [
    rejects.map(({ tenant }) => tenant),
    rejects.map(({ problem }) => problem.code),
    rejects.map(({ problem: { detail, errors }, recordId }) => storableJson({ detail, errors, recordId })),
    // A NUL or lone surrogate in JSON text is written as an escape; in other text nobody can read it anyway.
    rejects.map(({ text }) => text.replaceAll('\u0000', '\uFFFD').toWellFormed()),
  ])
}

export type RejectFilter = {
  readonly tenant: string | null
  readonly code: string | null
  /** Null: all that the others select. */
  readonly rejectIds: readonly number[] | null
}

export type KeptReject = {
  readonly rejectId: number
  readonly tenant: string
  readonly code: string
  readonly detail: unknown
  readonly record: string
  readonly state: MetadataRejectState
  readonly createdAt: Instant
}

const SELECTED = `($1::text is null or tenant = $1::text) and ($2::text is null or code = $2::text)
   and ($3::bigint[] is null or reject_id = any($3::bigint[]))`

const LIST: Statement = {
  name: 'list_metadata_rejects',
  text: `
select reject_id as "rejectId", tenant, code, detail, record, state, created_at as "createdAt"
  from metadata.reject
 where ${SELECTED} and ($4::text[] is null or state = any($4::text[]))
 order by reject_id desc
 limit $5::int`,
}

/** Newest first. `states` null: all of them. */
export async function listMetadataRejects(
  db: Queryable,
  filter: RejectFilter,
  { states, limit }: { readonly states: readonly MetadataRejectState[] | null; readonly limit: number },
): Promise<readonly KeptReject[]> {
  return db.query<KeptReject>(LIST, [...valuesOf(filter), states, limit])
}

// As a new row: it waits for no earlier back-off. Oldest first, so that revisions keep their order.
const REPLAY: Statement = {
  name: 'replay_metadata_rejects',
  text: `
with replayed as (
  update metadata.reject set state = 'replayed' where state = 'open' and ${SELECTED}
  returning reject_id, tenant, record
), again as (
  insert into metadata.outbox (tenant, record) select tenant, record from replayed order by reject_id
)
select reject_id as "rejectId" from replayed`,
}

const WAIVE: Statement = {
  name: 'waive_metadata_rejects',
  text: `
update metadata.reject set state = 'waived' where state = 'open' and ${SELECTED}
returning reject_id as "rejectId"`,
}

export type ByPerson = { readonly actor: string; readonly reason: string }

/** Open ones are given to the outbox again: what is still wrong about them opens another. Returns how many. */
export function replayMetadataRejects(db: Database, filter: RejectFilter, by: ByPerson): Promise<number> {
  return change(db, { statement: REPLAY, action: 'replay_metadata_rejects', filter, by })
}

/** Lets open ones go: they stay where they are, and are no reason to worry any more. Returns how many. */
export function waiveMetadataRejects(db: Database, filter: RejectFilter, by: ByPerson): Promise<number> {
  return change(db, { statement: WAIVE, action: 'waive_metadata_rejects', filter, by })
}

type Change = {
  readonly statement: Statement
  readonly action: string
  readonly filter: RejectFilter
  readonly by: ByPerson
}

function change(db: Database, { statement, action, filter, by }: Change): Promise<number> {
  return db.transaction(async (tx) => {
    const changed = await tx.query<{ rejectId: number }>(statement, valuesOf(filter))
    if (changed.length === 0) return 0
    const rejects = changed.map(({ rejectId }) => rejectId).sort((a, b) => a - b)
    const after = { reason: by.reason, code: filter.code, rejects }
    await recordAudit(tx, { actor: by.actor, action, subject: filter.tenant ?? 'all tenants', after })
    return changed.length
  })
}

function valuesOf({ tenant, code, rejectIds }: RejectFilter): readonly unknown[] {
  return [tenant, code, rejectIds]
}
