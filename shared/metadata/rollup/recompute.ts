import { TransientError } from '../../errors.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import type { RecordPlaces } from '../retention/history-reader.ts'
import { addMonths, bucketStart, type Cell, createCells } from './cells.ts'
import {
  type FactPosition,
  type FactSelection,
  filedFacts,
  type HotFacts,
  hotFacts,
  withoutSuperseded,
} from './facts.ts'
import { cellName, type TouchedMonth } from './touched.ts'

// Whoever writes cells has read them under it, after all that the writer before it read: a worker that lost its lease
// can not put an older count over a newer one.
const LOCK: Statement = {
  name: 'lock_metadata_rollups',
  text: `select pg_advisory_xact_lock(7282365)`,
}

const REMOVE: Statement = {
  name: 'remove_metadata_rollups',
  text: `
delete from metadata.rollup u
 using unnest($4::text[], $5::date[]) as t (grain, bucket)
 where u.target_no = $1::bigint and u.kind = $2::text and u.scope = $3::text
   and u.grain = t.grain and u.bucket = t.bucket
   and not exists (select from unnest($6::text[], $7::text[], $8::date[]) as c (metric, grain, bucket)
                    where c.metric = u.metric and c.grain = u.grain and c.bucket = u.bucket)`,
}

const WRITE: Statement = {
  name: 'write_metadata_rollups',
  text: `
insert into metadata.rollup as u
       (target_no, kind, scope, metric, grain, bucket, n, total, min_value, max_value, outcomes)
select $1::bigint, $2::text, $3::text, c.*
  from unnest($4::text[], $5::text[], $6::date[], $7::bigint[], $8::float8[], $9::float8[], $10::float8[], $11::jsonb[])
         as c (metric, grain, bucket, n, total, min_value, max_value, outcomes)
 order by c.metric, c.grain, c.bucket
on conflict (target_no, kind, scope, metric, grain, bucket) do update
   set n = excluded.n, total = excluded.total, min_value = excluded.min_value, max_value = excluded.max_value,
       outcomes = excluded.outcomes
 where (u.n, u.total, u.min_value, u.max_value, u.outcomes)
       is distinct from (excluded.n, excluded.total, excluded.min_value, excluded.max_value, excluded.outcomes)`,
}

// The boundary moves once a day at most, so nobody meets it twice.
const TRIES_MAX = 3

/**
 * Computes cells of a month from all facts there are, in the table and in the files, each in its highest revision.
 * Nothing is added to what was there: repeated, late or at two places at once, the cells are right once the last is done.
 */
export async function recomputeMonth(
  places: RecordPlaces,
  touched: TouchedMonth,
  metrics: readonly string[],
): Promise<void> {
  const { tenant, series, month } = touched
  const selection = { tenant, series, metrics, from: bucketStart(month), to: bucketStart(addMonths(month, 1)) }
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    // Outside the transaction, which holds no connection while a file is read.
    const filed = await filedFacts(places, selection)
    if (await places.db.transaction((tx) => recompute(tx, selection, touched, filed))) return
  }
  throw new TransientError(`rollups of ${series.kind}: expected the compacted days to stay for a moment, they moved`)
}

/** False, and nothing is written, where days were compacted since the files were read. */
async function recompute(
  tx: Queryable,
  selection: FactSelection,
  { cells: wanted }: TouchedMonth,
  filed: Pick<HotFacts, 'facts' | 'below'>,
): Promise<boolean> {
  await tx.query(LOCK)
  const cells = createCells(selection.metrics)
  let after: FactPosition | null = null
  let first = true
  do {
    const page: HotFacts = await hotFacts(tx, selection, after)
    if (page.below !== filed.below) return false
    if (page.tenantNo === null || page.targetNo === null) return true
    const facts = first ? [...filed.facts, ...page.facts] : page.facts
    for (const fact of await withoutSuperseded(tx, page.tenantNo, facts)) {
      cells.add(fact, (grain, bucket) => wanted.has(cellName(grain, bucket)))
    }
    first = false
    after = page.next
    if (after === null)
      await writeCells(tx, [page.targetNo, selection.series.kind, selection.series.scope], wanted, cells.all())
  } while (after !== null)
  return true
}

async function writeCells(
  tx: Queryable,
  series: readonly unknown[],
  wanted: ReadonlySet<string>,
  cells: readonly Cell[],
): Promise<void> {
  const touched = [...wanted].map((name) => name.split(' '))
  const names = [cells.map(({ metric }) => metric), cells.map(({ grain }) => grain), cells.map(({ bucket }) => bucket)]
  await tx.query(REMOVE, [...series, touched.map(([grain]) => grain), touched.map(([, bucket]) => bucket), ...names])
  if (cells.length === 0) return
  await tx.query(WRITE, [
    ...series,
    ...names,
    cells.map(({ count }) => count),
    cells.map(({ total }) => total),
    cells.map(({ min }) => min),
    cells.map(({ max }) => max),
    cells.map(({ outcomes }) => JSON.stringify(outcomes)),
  ])
}
