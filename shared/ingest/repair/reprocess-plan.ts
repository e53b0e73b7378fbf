import { v7 as uuidv7 } from 'uuid'
import { recordAudit } from '../../ops/audit.ts'
import type { Database, Statement } from '../../postgres/database.ts'
import { lockStream } from '../state/lock-stream.ts'
import { nextState } from '../state/state-machine.ts'

/** A rebuild of one partition that is planned. */
export type PlannedRebuild = { readonly sourceIngestId: string; readonly partitionKey: string }

export type RebuildRequest = {
  readonly streamId: number
  /** What may work on them: never a worker with an older one. */
  readonly transformVersion: number
  readonly partitions: readonly {
    readonly partitionKey: string
    /** Published ingests to be listed for it, because the transform brings rows of theirs here. */
    readonly joining: readonly string[]
  }[]
  readonly actor: string
  /** Of the audit row, with what else it says. */
  readonly audit: {
    readonly action: string
    readonly subject: string
    readonly after: Readonly<Record<string, unknown>>
  }
}

// Listed before any rebuild of the partition reads the list, and published, so that nothing is left to count: the
// outcomes of the ingest are those of the day on which it was published.
const JOIN: Statement = {
  name: 'list_joining_ingests',
  text: `
insert into curated.partition_ingest (dataset, partition_key, source_ingest_id, landed_epoch, transform_version,
       inserted, updated, unchanged, superseded)
select s.dataset, j.partition_key, i.source_ingest_id, i.landed_epoch, $3::int, 0, 0, 0, 0
  from jsonb_to_recordset($2::jsonb) as j (partition_key text, id uuid)
  join provenance.source_ingest i on i.source_ingest_id = j.id
  join ingest.stream s using (stream_id)
 where i.stream_id = $1::bigint and i.state = 'published' and i.superseded_by is null and i.withdrawn_at is null
on conflict do nothing`,
}

// A rebuild that no worker runs reads the list after us, so it is as good as a new one. A failed one that was planned
// by a mark must be published some day, or the partition stays pending for ever: it is tried again.
const REUSE: Statement = {
  name: 'reuse_planned_rebuilds',
  text: `
update provenance.source_ingest i
   set state = coalesce(${nextState('i', 'replayPlanned')}, i.state),
       transform_version = greatest(coalesce(i.transform_version, 0), $3::int), by_mark = i.by_mark or p.joined,
       attempts = 0, attempting_since = null, next_attempt_at = null, queued_at = now(), finished_at = null,
       error_class = null, error_summary = null
  from jsonb_to_recordset($2::jsonb) as p (partition_key text, joined boolean)
 where i.stream_id = $1::bigint and i.lane = 'reprocess' and i.partition_key = p.partition_key
   and (i.state = 'planned' or (i.by_mark and ${nextState('i', 'replayPlanned')} is not null))
returning i.source_ingest_id as "sourceIngestId", i.partition_key as "partitionKey"`,
}

// By mark where an ingest joins: until it is published the file lacks rows of one that is listed, and verify must say
// pending. Marked as queued: the caller works on it now, and the sweep sends it where the caller has died.
const INSERT: Statement = {
  name: 'plan_rebuilds',
  text: `
insert into provenance.source_ingest
       (source_ingest_id, stream_id, lane, partition_key, by_mark, transform_version, parameters, initiated_by, queued_at)
select p.id, s.stream_id, 'reprocess', p.partition_key, p.joined, $3::int, s.params, $4::text, now()
  from jsonb_to_recordset($2::jsonb) as p (id uuid, partition_key text, joined boolean), ingest.stream s
 where s.stream_id = $1::bigint`,
}

/**
 * Plans one rebuild of each partition, in one transaction under the stream's lock; where one is planned already it is
 * that one. Nothing may be called a rebuild of these partitions that read less than what is listed now.
 */
export async function planRebuilds(db: Database, request: RebuildRequest): Promise<readonly PlannedRebuild[]> {
  const { streamId, transformVersion, actor, audit } = request
  if (request.partitions.length === 0) return []
  const partitions = request.partitions.map(({ partitionKey, joining }) => ({
    id: uuidv7(),
    partition_key: partitionKey,
    joined: joining.length > 0,
  }))
  const joins = request.partitions.flatMap(({ partitionKey, joining }) =>
    joining.map((id) => ({ id, partition_key: partitionKey })),
  )
  return db.transaction(async (tx) => {
    await lockStream(tx, streamId)
    if (joins.length > 0) await tx.query(JOIN, [streamId, JSON.stringify(joins), transformVersion])
    const reused = await tx.query<PlannedRebuild>(REUSE, [streamId, JSON.stringify(partitions), transformVersion])
    const has = new Set(reused.map(({ partitionKey }) => partitionKey))
    const missing = partitions.filter(({ partition_key }) => !has.has(partition_key))
    await tx.query(INSERT, [streamId, JSON.stringify(missing), transformVersion, actor])
    const inserted = missing.map(({ id, partition_key }) => ({ sourceIngestId: id, partitionKey: partition_key }))
    const planned = [...reused, ...inserted].sort((a, b) => (a.partitionKey < b.partitionKey ? -1 : 1))
    const { action, subject, after } = audit
    await recordAudit(tx, { actor, action, subject, after: { ...after, partitions: planned } })
    return planned
  })
}
