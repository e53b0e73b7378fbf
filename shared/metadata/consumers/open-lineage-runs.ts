import type { Queryable, Statement } from '../../postgres/database.ts'
import type { FedRecord } from '../feed/feed.ts'
import { ingestionRuntime } from '../model/kinds/ingestion-runtime.ts'
import { ingestionVolume } from '../model/kinds/ingestion-volume.ts'
import type { MetadataRecord } from '../model/record.ts'
import type { EndedRun } from '../open-lineage/ingestion-events.ts'
import { BODIES, COLUMNS } from '../postgres/read-statements.ts'
import { type StoredRow, toRecord } from '../postgres/stored-row.ts'

const KINDS: readonly string[] = [ingestionRuntime.kind, ingestionVolume.kind]

// What else is told of the runs of a page: the other record of a run may be of another page. Newest last.
const RECORDS_OF_RUNS: Statement = {
  name: 'ingestion_records_of_runs',
  text: `
select ${COLUMNS}
  from (select distinct n.tenant_no, w.run_id
          from unnest($1::text[], $2::text[]) as w (tenant, run_id)
          join metadata.tenant n on n.tenant = w.tenant) w
  join metadata.record r on r.tenant_no = w.tenant_no and r.run_id = w.run_id and r.kind = any($3::text[]) ${BODIES}
 order by r.ordered_at, r.revision, r.record_id`,
}

/**
 * Of each run that a page ends its last runtime and volume, by the place of the record in the page that tells it: a
 * volume whose runtime is there is told with that. A run belongs to one target.
 */
export async function endedRuns(db: Queryable, page: readonly FedRecord[]): Promise<ReadonlyMap<FedRecord, EndedRun>> {
  const told = page.filter(({ record }) => KINDS.includes(record.kind) && record.context.runId !== undefined)
  if (told.length === 0) return new Map()
  const tenants = told.map(({ tenant }) => tenant)
  const runs = told.map(({ record }) => record.context.runId ?? null)
  const rows = await db.query<StoredRow>(RECORDS_OF_RUNS, [tenants, runs, KINDS])
  const known = new Map<string, { runtime: MetadataRecord | null; volume: MetadataRecord | null }>()
  for (const record of rows.map(toRecord)) {
    const ended = known.get(runKey(record)) ?? { runtime: null, volume: null }
    known.set(runKey(record), ended)
    if (record.kind === ingestionRuntime.kind) ended.runtime = record
    else ended.volume = record
  }
  return new Map(
    told.flatMap((fed): [FedRecord, EndedRun][] => {
      const { record } = fed
      const ended = known.get(runKey(record)) ?? { runtime: null, volume: null }
      if (record.kind === ingestionRuntime.kind) return [[fed, { ...ended, runtime: record }]]
      return ended.runtime === null ? [[fed, { runtime: null, volume: record }]] : []
    }),
  )
}

function runKey({ context, target }: MetadataRecord): string {
  const { sourceId, schema, table } = target
  return JSON.stringify([context.environment.tenant, context.runId, sourceId, schema, table])
}
