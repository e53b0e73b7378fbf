import { v7 as uuidv7 } from 'uuid'
import type { Queryable, Statement } from '../../postgres/database.ts'
import { nextState } from '../state/state-machine.ts'

/** Why versions of a file no longer count. A mark is set once and never unset. */
export type Mark =
  | {
      readonly kind: 'superseded'
      readonly by: { readonly sourceIngestId: string; readonly version: number }
      /** Those before it, or those that came after. */
      readonly which: 'older' | 'newer'
    }
  | { readonly kind: 'withdrawn' }

export type Marked = {
  /** Versions that were current until now. */
  readonly versions: number
  /** Rebuilds planned for the partitions that may hold their rows: to be sent to the queue `curate`. */
  readonly rebuilds: readonly string[]
}

const VERSION_MAX = 2 ** 31 - 1

// Whatever its state: a published version loses its rows, an active one its right to write them.
const MARK: Statement = {
  name: 'mark_versions',
  text: `
update provenance.source_ingest i
   set superseded_by = $5::uuid, withdrawn_at = case when $5::uuid is null then now() end,
       state = coalesce(${nextState('i', 'cancel')}, i.state),
       finished_at = case when ${nextState('i', 'cancel')} is null then i.finished_at else now() end,
       error_class = case when ${nextState('i', 'cancel')} is null then i.error_class
                          when $5::uuid is null then 'withdrawn' else 'superseded' end,
       claimed_by = null, lease_expires_at = null, next_attempt_at = null
 where i.stream_id = $1::bigint and i.lane = 'import' and i.lo is null and i.parameters ->> 'name' = $2::text
   and (i.parameters ->> 'version')::int between $3::int and $4::int
   and i.superseded_by is null and i.withdrawn_at is null
returning i.source_ingest_id`,
}

// Of every version in the range, also of one marked before: the rebuild planned then may have ended in quarantine.
// A rebuild that no worker runs will read the list after the mark; one that runs may have read it before.
const PARTITIONS: Statement = {
  name: 'partitions_of_marked',
  text: `
select distinct p.partition_key as "partitionKey"
  from provenance.source_ingest i
  join curated.partition_ingest p using (source_ingest_id)
 where i.stream_id = $1::bigint and i.lane = 'import' and i.lo is null and i.parameters ->> 'name' = $2::text
   and (i.parameters ->> 'version')::int between $3::int and $4::int
   and not exists (select from provenance.source_ingest r
                    where r.stream_id = $1::bigint and r.partition_key = p.partition_key
                      and r.lane = 'reprocess' and r.by_mark and r.state = 'planned')
 order by p.partition_key`,
}

const PLAN_REBUILDS: Statement = {
  name: 'plan_rebuilds_by_mark',
  text: `
insert into provenance.source_ingest (source_ingest_id, stream_id, lane, partition_key, by_mark, parameters, initiated_by)
select r.id, s.stream_id, 'reprocess', r.partition_key, true, s.params, $3::text
  from jsonb_to_recordset($2::jsonb) as r (id uuid, partition_key text), ingest.stream s
 where s.stream_id = $1::bigint`,
}

/**
 * Marks versions of one file and plans a rebuild of every partition that may hold rows of theirs. In the transaction of
 * the caller, who holds the stream's lock.
 */
export async function markVersions(
  tx: Queryable,
  { streamId, name, mark }: { readonly streamId: number; readonly name: string; readonly mark: Mark },
): Promise<Marked> {
  const [first, last] = versionsOf(mark)
  const by = mark.kind === 'superseded' ? mark.by.sourceIngestId : null
  const marked = await tx.query(MARK, [streamId, name, first, last, by])
  if (marked.length === 0) return { versions: 0, rebuilds: [] }
  const partitions = await tx.query<{ partitionKey: string }>(PARTITIONS, [streamId, name, first, last])
  const rebuilds = partitions.map(({ partitionKey }) => ({ id: uuidv7(), partition_key: partitionKey }))
  if (rebuilds.length > 0) await tx.query(PLAN_REBUILDS, [streamId, JSON.stringify(rebuilds), mark.kind])
  return { versions: marked.length, rebuilds: rebuilds.map(({ id }) => id) }
}

function versionsOf(mark: Mark): readonly [first: number, last: number] {
  if (mark.kind === 'withdrawn') return [1, VERSION_MAX]
  return mark.which === 'older' ? [1, mark.by.version - 1] : [mark.by.version + 1, VERSION_MAX]
}
