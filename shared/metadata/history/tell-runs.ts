import { systemNow } from '../../instant.ts'
import type { Database, Queryable } from '../../postgres/database.ts'
import { checkRecord } from '../model/check.ts'
import { KINDS } from '../model/kinds.ts'
import type { NewMetadataRecord } from '../model/record.ts'
import type { MetadataRepository } from '../model/repository.ts'
import { lockRuns, readRuns } from './event-statements.ts'
import { runOf } from './import-event.ts'
import { type ImportRefusal, type Listing, list, listing } from './import-summary.ts'
import { lastRevisions, liveRuns } from './known-records.ts'
import { mergeRun } from './merge-run.ts'

export type HistoryStore = {
  readonly db: Database
  readonly repository: Pick<MetadataRepository, 'bulkStore'>
  readonly tenant: string
  readonly tenantNo: number
}

export type ToldRuns = {
  merged: number
  readonly live: Listing<string>
  readonly waiting: Listing<string>
  stored: number
  revised: number
  unchanged: number
  readonly refused: Listing<ImportRefusal>
}

export function nothingTold(): ToldRuns {
  return { merged: 0, live: listing(), waiting: listing(), stored: 0, revised: 0, unchanged: 0, refused: listing() }
}

/** A fact to be told, with its identity. */
type Fact = { readonly run: string; readonly record: NewMetadataRecord; readonly key: string; readonly content: string }

const turns = new WeakMap<Database, Promise<void>>()

/**
 * Merges all that is known of these runs and stores what changed, under their locks: two imports that store the next
 * revision of a fact at once would refuse each other's. The lock is PostgreSQL's, of the transaction: whoever is killed
 * lets go at once. That transaction writes nothing, so it holds no reader of the feed back.
 *
 * A lock that is lost (a connection that broke) costs nothing but a refusal: revisions are read before events, so that
 * of two that store the same one the loser is told so, and a repetition stores what is missing.
 */
export async function tellRuns(store: HistoryStore, runKeys: readonly string[], told: ToldRuns): Promise<void> {
  // It needs two connections, and a process may have no more: one turn at a time.
  const before = turns.get(store.db) ?? Promise.resolve()
  const turn = before.then(() => store.db.transaction((tx) => tellLocked(store, tx, runKeys, told)))
  turns.set(
    store.db,
    turn.catch(() => undefined),
  )
  await turn
}

async function tellLocked(
  store: HistoryStore,
  tx: Queryable,
  runKeys: readonly string[],
  told: ToldRuns,
): Promise<void> {
  const { tenantNo, repository } = store
  await lockRuns(tx, tenantNo, runKeys)
  const { facts, runIds } = await mergeRuns(store, tx, runKeys, told)
  const live = await liveRuns(
    tx,
    tenantNo,
    [...new Set(runIds.values())],
    facts.map(({ key }) => key),
  )
  const leftAlone = new Set([...runIds].flatMap(([run, runId]) => (live.has(runId) ? [run] : [])))
  for (const run of leftAlone) list(told.live, run)
  told.merged -= leftAlone.size
  const own = facts.filter(({ run }) => !leftAlone.has(run))
  const known = await lastRevisions(tx, tenantNo, own)
  const next = own.flatMap((fact) => {
    const last = known.get(fact.key)
    if (last?.same) {
      told.unchanged++
      return []
    }
    return [{ ...fact, revision: last === undefined ? 0 : last.revision + 1 }]
  })
  const results = await repository.bulkStore(next.map(({ record, revision }) => ({ ...record, revision })))
  for (const [index, { run, record, revision }] of next.entries()) {
    const result = results[index]
    if (result?.outcome === 'refused') list(told.refused, { run, kind: record.kind, reason: result.problem.detail })
    else if (revision === 0) told.stored++
    else told.revised++
  }
}

async function mergeRuns(
  { tenant, tenantNo }: HistoryStore,
  tx: Queryable,
  runKeys: readonly string[],
  told: ToldRuns,
): Promise<{ readonly facts: readonly Fact[]; readonly runIds: ReadonlyMap<string, string> }> {
  const facts: Fact[] = []
  const runIds = new Map<string, string>()
  const options = { kinds: KINDS, environment: { tenant }, now: systemNow() }
  for await (const { runKey, events } of readRuns(tx, tenantNo, runKeys)) {
    const run = runOf(runKey)
    const { records, waiting } = mergeRun(events)
    if (waiting) list(told.waiting, run)
    if (records.length === 0) continue
    told.merged++
    const runId = events[0]?.event.run
    if (runId !== undefined) runIds.set(run, runId)
    for (const record of records) {
      const result = checkRecord(record, options)
      if (!result.ok) list(told.refused, { run, kind: record.kind, reason: result.problem.detail })
      else facts.push({ run, record, key: result.checked.key, content: result.checked.content })
    }
  }
  return { facts, runIds }
}
