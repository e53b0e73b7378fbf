import pg from 'pg'
import type { Database, Queryable, Statement } from '../../postgres/database.ts'
import type { Series } from '../model/repository.ts'
import { TENANT_NO, targetNo } from '../postgres/read-statements.ts'
import { createLineageGraph, type Lineage, type LineageGraph, type LinkRow } from './lineage-graph.ts'

export type LineageStart =
  | { readonly type: 'run'; readonly runId: string }
  | { readonly type: 'target'; readonly target: Series['target'] }

export type LineageDirection = 'up' | 'down'

export type LineageRequest = {
  readonly start: LineageStart
  readonly directions: readonly LineageDirection[]
  /** Steps from the start; a run and its input are one step apart. */
  readonly depth: number
}

export const LINEAGE_STEPS_MAX = 3
export const LINEAGE_NODES_MAX = 500
const MS_MAX = 2_000
/** Links that one step looks at: there are more than nodes. */
const LINKS_MAX = 2_000
/** SQLSTATE of a statement that took too long. */
const QUERY_CANCELED = '57014'

// $2 runs, $3 targets, $4 how many. Newest first, by UUIDv7: what is cut is what is old. Each part is one index.
const links = (name: string, parts: readonly string[]): Statement => ({
  name,
  text: `
select l.run_id as "runId", l.rel, l.other_run_id as "otherRunId", l.record_id as "recordId",
       l.target_no as "targetNo", t.source_id as "sourceId", t.schema_name as "schema", t.table_name as "table"
  from (${parts
    .map(
      (part) => `(select * from metadata.link where tenant_no = ${TENANT_NO} and ${part}
          order by record_id desc limit $4::int)`,
    )
    .join('\n        union all\n        ')}) l
  left join metadata.target t on t.target_no = l.target_no
 order by l.record_id desc
 limit $4::int`,
})

const STEP: Readonly<Record<LineageDirection, Statement>> = {
  up: links('metadata_lineage_up', [
    `run_id = any($2::text[]) and rel in ('input', 'baseline', 'parent')`,
    `target_no = any($3::bigint[]) and rel = 'output'`,
  ]),
  down: links('metadata_lineage_down', [
    `run_id = any($2::text[]) and rel = 'output'`,
    `other_run_id = any($2::text[])`,
    `target_no = any($3::bigint[]) and rel = 'input'`,
  ]),
}

const FIND_TARGET: Statement = {
  name: 'metadata_lineage_target',
  text: `select ${targetNo(2)} as "targetNo"`,
}

const FIND_RUN: Statement = {
  name: 'metadata_lineage_run',
  text: `
select exists (select from metadata.link where tenant_no = ${TENANT_NO} and run_id = $2::text)
    or exists (select from metadata.link where tenant_no = ${TENANT_NO} and other_run_id = $2::text)
    or exists (select from metadata.record where tenant_no = ${TENANT_NO} and run_id = $2::text) as known`,
}

const SET_TIMEOUT: Statement = {
  name: 'set_statement_timeout',
  text: `select set_config('statement_timeout', $1::text, true)`,
}

/**
 * What a run or a target was made of (up) and went into (down), breadth-first: at most 3 steps, 500 nodes and 2
 * seconds; what was found until then is answered as truncated. Null: there is no such thing for this tenant.
 */
export async function readLineage(db: Database, tenant: string, request: LineageRequest): Promise<Lineage | null> {
  const deadline = performance.now() + MS_MAX
  const graph = await findStart(db, tenant, request.start)
  if (graph === null) return null
  try {
    // A transaction only for the time limit of its statements.
    await db.transaction(async (tx) => {
      for (const direction of request.directions) {
        await walk(tx, tenant, graph, { direction, depth: request.depth, deadline })
      }
    })
  } catch (error) {
    const cause = error instanceof Error ? error.cause : undefined
    if (!(cause instanceof pg.DatabaseError) || cause.code !== QUERY_CANCELED) throw error
    graph.truncate()
  }
  return graph.lineage()
}

async function findStart(db: Queryable, tenant: string, start: LineageStart): Promise<LineageGraph | null> {
  if (start.type === 'run') {
    const [row] = await db.query<{ known: boolean }>(FIND_RUN, [tenant, start.runId])
    return row?.known ? createLineageGraph({ nodesMax: LINEAGE_NODES_MAX, start }) : null
  }
  const { sourceId, schema, table } = start.target
  const [row] = await db.query<{ targetNo: number | null }>(FIND_TARGET, [tenant, sourceId, schema, table])
  const no = row?.targetNo ?? null
  return no === null ? null : createLineageGraph({ nodesMax: LINEAGE_NODES_MAX, start: { ...start, targetNo: no } })
}

type Walk = { readonly direction: LineageDirection; readonly depth: number; readonly deadline: number }

async function walk(tx: Queryable, tenant: string, graph: LineageGraph, { direction, depth, deadline }: Walk) {
  let frontier = graph.start
  for (let step = 1; step <= depth && frontier.length > 0; step++) {
    const leftMs = Math.floor(deadline - performance.now())
    if (leftMs <= 0) return graph.truncate()
    await tx.query(SET_TIMEOUT, [String(leftMs)])
    const runs = frontier.flatMap((node) => (node.type === 'run' ? [node.runId] : []))
    const targets = frontier.flatMap((node) => (node.type === 'target' ? [node.targetNo] : []))
    const rows = await tx.query<LinkRow>(STEP[direction], [tenant, runs, targets, LINKS_MAX + 1])
    if (rows.length > LINKS_MAX) graph.truncate()
    frontier = graph.add(rows.slice(0, LINKS_MAX), step)
  }
}
