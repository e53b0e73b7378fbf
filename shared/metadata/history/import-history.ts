import { createReadStream } from 'node:fs'
import { CancelledError, ConfigError, toError } from '../../errors.ts'
import { systemNow } from '../../instant.ts'
import { type JsonValue, sample } from '../../json.ts'
import type { Log } from '../../log/log.ts'
import type { Database, Queryable, Statement } from '../../postgres/database.ts'
import { addTenant } from '../access/tenant-row.ts'
import { cleanText } from '../model/build-record.ts'
import { jsonObject } from '../model/record.ts'
import type { MetadataRepository } from '../model/repository.ts'
import { type Recognised, recognise } from './artifacts/recognise.ts'
import { keepEvents } from './event-statements.ts'
import { runKey, type SourcedEvent } from './import-event.ts'
import { type Artifact, type ImportProblem, type ImportSummary, type Listing, list, listing } from './import-summary.ts'
import { type FoundValue, readValues } from './read-values.ts'
import { tablesWithoutHistory } from './tables-without-history.ts'
import { type HistoryStore, nothingTold, type ToldRuns, tellRuns } from './tell-runs.ts'

/** `name` becomes the provenance of what it tells: the path as a person knows it, not one of this machine. */
export type ImportFile =
  | { readonly name: string; readonly text: string }
  | { readonly name: string; readonly path: string }

export type ImportOptions = {
  /** The metadata database: events are kept there, and revisions are known there. */
  readonly db: Database
  /** Of `tenant`, in that database. */
  readonly repository: Pick<MetadataRepository, 'bulkStore'>
  readonly files: Iterable<ImportFile> | AsyncIterable<ImportFile>
  readonly tenant: string
  readonly log: Log
  /** Reads the files and writes nothing. */
  readonly dryRun?: boolean | undefined
  /** Between batches; what was written stays, and a repetition goes on from there. */
  readonly signal?: AbortSignal | undefined
}

const EVENTS_BATCH = 500
const RUNS_BATCH = 100
/** Runs that wait for the end of the files, by their keys. More are merged in between: an early revision, no loss. */
const RUNS_HELD_MAX = 50_000

type Import = {
  readonly options: ImportOptions
  /** Null: a dry run. */
  readonly store: HistoryStore | null
  readonly taken: Record<Artifact, number>
  readonly problems: Listing<ImportProblem>
  readonly events: { stored: number; repeated: number; replaced: number }
  readonly told: ToldRuns
  readonly pending: SourcedEvent[]
  readonly runs: Set<string>
}

/**
 * Makes metadata records of what other systems left behind: events by their own identities, merged by run. Any order,
 * any repetition, any split over several imports leads to the same latest records; killed at any moment, it is repeated.
 * What is no artifact is reported and stops nothing.
 *
 * Throws ConfigError for a file that cannot be read, CancelledError when told to stop.
 */
export async function importHistory(options: ImportOptions): Promise<ImportSummary> {
  const { db, tenant, log, files, dryRun = false } = options
  const store = dryRun ? null : { ...options, tenantNo: await tenantNumber(db, tenant) }
  const work: Import = {
    options,
    store,
    taken: { progress: 0, manifest: 0, guardrail: 0, recon: 0, catalog: 0 },
    problems: listing(),
    events: { stored: 0, repeated: 0, replaced: 0 },
    told: nothingTold(),
    pending: [],
    runs: new Set(),
  }
  let read = 0
  for await (const file of files) {
    await importFile(work, file)
    read++
  }
  await keepPending(work)
  await tellHeld(work)
  const { taken, problems, events, told } = work
  const { merged, live, waiting, ...records } = told
  const summary: ImportSummary = {
    dryRun,
    files: read,
    taken,
    problems,
    events,
    runs: { merged, live, waiting },
    records,
    tablesWithoutHistory: await tablesWithoutHistory(db, tenant),
  }
  log.info('metadata_history_imported', {
    tenant,
    dry_run: dryRun,
    files: read,
    problems: problems.count,
    ...events,
    runs: merged,
    runs_live: live.count,
    records_stored: told.stored,
    records_revised: told.revised,
    records_refused: told.refused.count,
  })
  return summary
}

async function importFile(work: Import, file: ImportFile): Promise<void> {
  const name = cleanText(file.name)
  for await (const found of readValues(bytesOf(file))) {
    takeValue(work, name, found)
    while (work.pending.length >= EVENTS_BATCH) await keepBatch(work)
    if (work.runs.size >= RUNS_HELD_MAX) {
      await keepPending(work)
      await tellHeld(work)
    }
  }
}

function takeValue({ taken, problems, pending }: Import, file: string, found: FoundValue): void {
  const read = found.ok ? eventsOf(found.value) : found
  if (!read.ok) {
    list(problems, { file, line: found.line, reason: read.reason })
    return
  }
  taken[read.artifact]++
  for (const event of read.events) pending.push({ event, source: file })
}

function eventsOf(value: JsonValue): Recognised {
  const object = jsonObject.safeParse(value)
  if (object.success) return recognise(object.data, systemNow())
  return { ok: false, reason: `expected a JSON object, got ${sample(value, 80)}` }
}

async function keepPending(work: Import): Promise<void> {
  while (work.pending.length > 0) await keepBatch(work)
}

async function keepBatch({ options, store, pending, events, runs }: Import): Promise<void> {
  checkSignal(options)
  const batch = pending.splice(0, EVENTS_BATCH)
  if (store === null) return
  const kept = await keepEvents(store.db, store.tenantNo, batch)
  events.stored += kept.stored
  events.repeated += kept.repeated
  events.replaced += kept.replaced
  for (const { event } of batch) runs.add(runKey(event))
}

/** Every run that an artifact told of, whether or not its events were new: an import may have been killed before this. */
async function tellHeld({ options, store, runs, told }: Import): Promise<void> {
  if (store === null) return
  const keys = [...runs].sort()
  for (let start = 0; start < keys.length; start += RUNS_BATCH) {
    checkSignal(options)
    await tellRuns(store, keys.slice(start, start + RUNS_BATCH), told)
  }
  runs.clear()
}

function checkSignal({ signal }: ImportOptions): void {
  if (signal?.aborted) throw new CancelledError('history import: told to stop')
}

async function* bytesOf(file: ImportFile): AsyncGenerator<Uint8Array> {
  if ('text' in file) return yield Buffer.from(file.text)
  try {
    for await (const chunk of createReadStream(file.path)) yield chunk as Buffer
  } catch (thrown) {
    const error = toError(thrown)
    throw new ConfigError([`file ${file.name}: expected one that can be read, got ${error.message}`], { cause: error })
  }
}

const TENANT_NO: Statement = {
  name: 'tenant_no_of_import',
  text: `select tenant_no as no from metadata.tenant where tenant = $1::text`,
}

async function tenantNumber(db: Queryable, tenant: string): Promise<number> {
  await addTenant(db, tenant)
  const [row] = await db.query<{ no: number }>(TENANT_NO, [tenant])
  if (row === undefined) throw new Error(`tenant ${tenant}: expected a number, got none`)
  return row.no
}
