import type { NormalFilter } from '../model/record-filter.ts'
import { TENANT_NO, targetNo } from './read-statements.ts'

export type QueryConditions = {
  /** SQL that follows a first condition. */
  readonly text: string
  /** From `$1`, the tenant, on. */
  readonly values: readonly unknown[]
}

/** Position of the page before: effective time and record id. */
export type QueryPosition = { readonly effectiveAt: string; readonly recordId: string }

export function queryConditions(tenant: string, filter: NormalFilter, after: QueryPosition | null): QueryConditions {
  const values: unknown[] = [tenant]
  const conditions: string[] = []
  const add = (condition: (at: number) => string, ...more: readonly unknown[]) => {
    conditions.push(condition(values.length + 1))
    values.push(...more)
  }
  const { target } = filter
  if (target) add((at) => `r.target_no = ${targetNo(at)}`, target.sourceId, target.schema, target.table)
  const equal = {
    kind: filter.kind,
    scope: filter.scope,
    run_id: filter.runId,
    job_id: filter.jobId,
    producer_id: filter.producerId,
    outcome: filter.outcome,
  }
  for (const [column, value] of Object.entries(equal)) {
    if (value !== undefined) add((at) => `r.${column} = $${at}::text`, value)
  }
  // Of the partial index: it holds no record that passed.
  if (filter.outcome !== undefined && filter.outcome !== 'pass') conditions.push(`r.outcome <> 'pass'`)
  const { from, to, windowFrom, windowTo, facets } = filter
  if (from !== undefined) add((at) => `r.effective_at >= $${at}::timestamptz`, from)
  if (to !== undefined) add((at) => `r.effective_at < $${at}::timestamptz`, to)
  if (windowFrom !== undefined) add((at) => `r.window_start >= $${at}::timestamptz`, windowFrom)
  if (windowTo !== undefined) add((at) => `r.window_end <= $${at}::timestamptz`, windowTo)
  if (facets !== undefined) {
    const prefixed = (at: number) =>
      `array(select ${TENANT_NO} || '/' || $${at}::text || '/' || f from unnest($${at + 1}::text[]) as f)`
    add((at) => `r.facets @> ${prefixed(at)}`, filter.kind, facets)
  }
  if (after !== null) {
    const { effectiveAt, recordId } = after
    add((at) => `(r.effective_at, r.record_id) < ($${at}::timestamptz, $${at + 1}::uuid)`, effectiveAt, recordId)
  }
  return { text: conditions.map((condition) => `\n   and ${condition}`).join(''), values }
}
