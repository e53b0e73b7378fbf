import { z } from 'zod'
import type { Instant } from '../../instant.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import { recordKey } from '../model/identity.ts'
import { instantText } from '../model/instant-text.ts'
import type { Series } from '../model/repository.ts'
import { TENANT_NO, targetNo } from '../postgres/read-statements.ts'
import { type CompactedRow, columnIndex } from '../retention/compacted-columns.ts'
import { type CompactedFile, readCompactedFile } from '../retention/compacted-reader.ts'
import { type RecordPlaces, rowsOf } from '../retention/history-reader.ts'
import { startOfDay } from '../retention/stored-days.ts'
import type { Fact } from './cells.ts'

/** What a series told of a month. */
export type FactSelection = {
  readonly tenant: string
  readonly series: Required<Pick<Series, 'target' | 'kind'>> & { readonly scope: string }
  readonly metrics: readonly string[]
  /** Facts that begin in `[from, to)`. */
  readonly from: Instant
  readonly to: Instant
}

/** The last effective time that one of them can have: a window may begin just before `to` and be as long as a month. */
const lastEffective = ({ from, to }: FactSelection): Instant => to + (to - from)

/** A revision of a fact. */
export type FactRow = Fact & {
  readonly recordId: string
  readonly key: string
  readonly revision: number
}

export type HotFacts = {
  readonly facts: readonly FactRow[]
  /** Where the compacted days end; null: there are none. */
  readonly below: string | null
  readonly tenantNo: number | null
  readonly targetNo: number | null
  /** Of the last row of a full page. */
  readonly next: FactPosition | null
}

export type FactPosition = { readonly effectiveAt: Instant; readonly orderedAt: Instant; readonly recordId: string }

const PAGE_ROWS = 5_000

// Numbers and names only: a body is a thousand times longer than what is added up.
const HOT: Statement = {
  name: 'hot_facts_of_a_series',
  text: `
with place as materialized (
  select ${TENANT_NO} as tenant_no, ${targetNo(2)} as target_no,
         (select to_char(c.below, 'YYYY-MM-DD') from metadata.compaction c where c.kind = $5::text) as below,
         coalesce((select ${startOfDay('c.below')} from metadata.compaction c where c.kind = $5::text), '-infinity') as start
)
select p.tenant_no as "tenantNo", p.target_no as "targetNo", p.below, h.*
  from place p
  left join lateral (
    select r.record_id as "recordId", r.revision, r.producer_id as "producerId", r.run_id as "runId",
           r.window_start as "windowStart", r.window_end as "windowEnd", r.effective_at as "effectiveAt",
           r.ordered_at as "orderedAt", r.outcome, r.body ->> 'key' as "callersKey",
           (select jsonb_agg(case when jsonb_typeof(r.body #> array['payload', m.name]) = 'number'
                                  then r.body #> array['payload', m.name] end order by m.position)
              from unnest($9::text[]) with ordinality as m (name, position)) as numbers
      from metadata.record r
     where r.target_no = p.target_no and r.kind = $5::text and r.scope = $6::text and r.stored_at >= p.start
       and r.effective_at >= $7::timestamptz and r.effective_at <= $8::timestamptz
       and coalesce(r.window_start, r.effective_at) >= $7::timestamptz
       and coalesce(r.window_start, r.effective_at) < $13::timestamptz
       and (r.effective_at, r.ordered_at, r.record_id) < ($10::timestamptz, $11::timestamptz, $12::uuid)
     order by r.effective_at desc, r.ordered_at desc, r.record_id desc
     limit ${PAGE_ROWS}) h on true`,
}

const numbers = z.array(z.number().nullable()).nullable()

type Named = {
  readonly producerId: string
  readonly runId: string | null
  readonly windowStart: Instant | null
  readonly windowEnd: Instant | null
  readonly callersKey: string | null
}

type HotRow = { readonly below: string | null; readonly tenantNo: number | null; readonly targetNo: number | null } & (
  | { readonly recordId: null }
  | (Named & FactPosition & { readonly revision: number; readonly outcome: string | null; readonly numbers: unknown })
)

const LAST = { effectiveAt: 'infinity', orderedAt: 'infinity', recordId: 'ffffffff-ffff-ffff-ffff-ffffffffffff' }

/** A page of what is not compacted, newest first, and the boundary of the same moment. */
export async function hotFacts(db: Queryable, selection: FactSelection, after: FactPosition | null): Promise<HotFacts> {
  const { tenant, series, metrics, from, to } = selection
  const { sourceId, schema, table } = series.target
  const { effectiveAt, orderedAt, recordId } = after ?? LAST
  const name = [tenant, sourceId, schema, table, series.kind, series.scope]
  const range = [from, lastEffective(selection), metrics]
  const rows = await db.query<HotRow>(HOT, [...name, ...range, effectiveAt, orderedAt, recordId, to])
  const [first] = rows
  const found = rows.filter((row): row is Extract<HotRow, { recordId: string }> => row.recordId !== null)
  const facts = found.map((row) => ({ ...row, key: keyOf(series, row), numbers: numbers.parse(row.numbers) ?? [] }))
  return {
    facts,
    below: first?.below ?? null,
    tenantNo: first?.tenantNo ?? null,
    targetNo: first?.targetNo ?? null,
    next: found.length < PAGE_ROWS ? null : (found.at(-1) ?? null),
  }
}

const FILES: Statement = {
  name: 'compacted_files_of_facts',
  text: `
select to_char(c.below, 'YYYY-MM-DD') as below, f.path, f.bytes, encode(f.sha256, 'hex') as sha256
  from metadata.compaction c
  left join metadata.compacted_file f
    on f.kind = c.kind and f.tenant_no = ${TENANT_NO} and f.stored_day < c.below
   and f.max_effective_at >= $3::timestamptz and f.min_effective_at <= $4::timestamptz
 where c.kind = $2::text
 order by f.stored_day`,
}

type FileRow = { readonly below: string } & (CompactedFile | { readonly path: null })

/** What is compacted of the selection, and the boundary that it goes up to. */
export async function filedFacts(
  { db, files }: RecordPlaces,
  selection: FactSelection,
): Promise<Pick<HotFacts, 'facts' | 'below'>> {
  const { tenant, series, from } = selection
  const last = lastEffective(selection)
  const rows = await db.query<FileRow>(FILES, [tenant, series.kind, from, last])
  const facts: FactRow[] = []
  for (const file of rows) {
    if (file.path === null) continue
    for await (const group of readCompactedFile(files, file)) {
      const scopes = group.column(columnIndex('scope'))
      for (const { row, read } of rowsOf(group, { from, to: last + 1n, target: series.target })) {
        if (scopes[row] === series.scope) facts.push(filedFact(selection, read()))
      }
    }
  }
  return { facts, below: rows[0]?.below ?? null }
}

const filedBody = z.object({ payload: z.record(z.string(), z.unknown()), key: z.string().optional() })

function filedFact({ series, metrics }: FactSelection, row: CompactedRow): FactRow {
  const { payload, key } = filedBody.parse(JSON.parse(row.body))
  const values = metrics.map((metric) => {
    const value = payload[metric]
    return typeof value === 'number' ? value : null
  })
  return { ...row, key: keyOf(series, { ...row, callersKey: key ?? null }), numbers: values }
}

function keyOf({ target, kind, scope }: FactSelection['series'], named: Named): string {
  const { producerId, runId, windowStart, windowEnd, callersKey } = named
  return recordKey({
    producerId,
    kind,
    target,
    scope,
    context: runId === null ? {} : { runId },
    ...(windowStart !== null &&
      windowEnd !== null && { window: { start: instantText(windowStart), end: instantText(windowEnd) } }),
    ...(callersKey !== null && { key: callersKey }),
  })
}

const SUPERSEDED: Statement = {
  name: 'superseded_metadata_revisions',
  text: `
select q.n
  from unnest($2::uuid[], $3::int[]) with ordinality as q (key, revision, n)
 where exists (select from metadata.record_key k
                where k.tenant_no = $1::int and k.key = q.key and k.revision = q.revision + 1)`,
}

/** Those that no later revision corrects. */
export async function withoutSuperseded(
  db: Queryable,
  tenantNo: number,
  facts: readonly FactRow[],
): Promise<readonly FactRow[]> {
  if (facts.length === 0) return []
  const keys = facts.map(({ key }) => key)
  const revisions = facts.map(({ revision }) => revision)
  const rows = await db.query<{ n: number }>(SUPERSEDED, [tenantNo, keys, revisions])
  const superseded = new Set(rows.map(({ n }) => n - 1))
  return facts.filter((_, index) => !superseded.has(index))
}
