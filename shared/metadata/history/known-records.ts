import type { Queryable, Statement } from '../../postgres/database.ts'
import { IMPORT_PRODUCER } from './merged-record.ts'

// Keys outlive their records, and so do links: a run that was told years ago is known when its records are compacted.
const LIVE_RUNS: Statement = {
  name: 'live_runs_of_import',
  text: `
select w.run
  from unnest($2::text[]) as w (run)
 where exists (select from metadata.record r
                where r.tenant_no = $1::int and r.run_id = w.run and r.producer_id <> '${IMPORT_PRODUCER}')
    or exists (select from metadata.link l
                where l.tenant_no = $1::int and l.run_id = w.run
                  and not exists (select from metadata.record_key k
                                   where k.tenant_no = $1::int and k.key = any($3::uuid[])
                                     and k.record_id = l.record_id))`,
}

/** Of `runs` those that another producer told; `ownKeys` are those of what is imported of them. */
export async function liveRuns(
  db: Queryable,
  tenantNo: number,
  runs: readonly string[],
  ownKeys: readonly string[],
): Promise<ReadonlySet<string>> {
  const rows = await db.query<{ run: string }>(LIVE_RUNS, [tenantNo, runs, ownKeys])
  return new Set(rows.map(({ run }) => run))
}

const LAST_REVISIONS: Statement = {
  name: 'last_revisions_of_import',
  text: `
select w.key::text as key, k.revision, k.same
  from unnest($2::uuid[], $3::uuid[]) as w (key, content)
 cross join lateral (
   select r.revision, r.content = w.content as same from metadata.record_key r
    where r.tenant_no = $1::int and r.key = w.key
    order by r.revision desc
    limit 1) k`,
}

export type LastRevision = { readonly revision: number; readonly same: boolean }

/** By key without dashes; absent: never stored. */
export async function lastRevisions(
  db: Queryable,
  tenantNo: number,
  facts: readonly { readonly key: string; readonly content: string }[],
): Promise<ReadonlyMap<string, LastRevision>> {
  const rows = await db.query<LastRevision & { key: string }>(LAST_REVISIONS, [
    tenantNo,
    facts.map(({ key }) => key),
    facts.map(({ content }) => content),
  ])
  return new Map(rows.map(({ key, ...last }) => [key.replaceAll('-', ''), last]))
}
