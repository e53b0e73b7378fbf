import { v7 as uuidv7 } from 'uuid'
import { PermanentError } from '../../errors.ts'
import { canonicalJson } from '../../json.ts'
import type { Queryable } from '../../postgres/database.ts'
import type { CheckedRecord } from '../model/identity.ts'
import { isFacet } from '../model/kind.ts'
import type { KindBook } from '../model/kind-book.ts'
import { schemaSnapshot } from '../model/kinds/schema-snapshot.ts'
import type { MetadataKinds } from '../model/kinds.ts'
import { problem } from '../model/problem.ts'
import type { NormalRecord } from '../model/record.ts'
import type { StoreResult } from '../model/repository.ts'
import type { NameBook, Numbers, TargetName } from './names.ts'
import { STORE, STORE_LINKS, STORE_SCHEMAS, TELL_APART } from './store-statement.ts'

export type StoredBatch = {
  /** In the order of the records. */
  readonly results: readonly StoreResult[]
  /** To be called once the transaction is committed. */
  readonly committed: () => void
}

type Numbered = { readonly recordId: string; readonly checked: CheckedRecord }

/**
 * Stores records in the transaction of the caller: at most one of a key (see `waves`), and one batch per transaction,
 * because two statements with sorted keys are not sorted together. Every transaction takes its locks in the same order:
 * tenants, targets, schema bodies, keys, latest, links.
 */
export async function storeBatch(
  tx: Queryable,
  { names, kinds }: { readonly names: NameBook; readonly kinds: KindBook },
  records: readonly CheckedRecord[],
): Promise<StoredBatch> {
  const numbers = await names.resolve(tx, records.flatMap(namesOf))
  const batch = records.map((checked) => ({ recordId: uuidv7(), checked }))
  await storeSchemas(tx, numbers, records)
  const rows = await tx.query<{ recordId: string }>(STORE, columnsOf(batch, numbers, kinds.known()))
  const stored = new Set(rows.map(({ recordId }) => recordId))
  await storeLinks(
    tx,
    numbers,
    batch.filter(({ recordId }) => stored.has(recordId)),
  )
  const told = await tellApart(
    tx,
    numbers,
    batch.filter(({ recordId }) => !stored.has(recordId)),
  )
  const results = batch.map(({ recordId }): StoreResult => told.get(recordId) ?? { outcome: 'stored', recordId })
  return { results, committed: numbers.remember }
}

function namesOf({ tenant, record: { target, links } }: CheckedRecord): TargetName[] {
  const linked = [...(links?.inputs ?? []), ...(links?.outputs ?? [])]
  return [target, ...linked].map((name) => ({ tenant, ...name }))
}

function columnsOf(batch: readonly Numbered[], numbers: Numbers, kinds: MetadataKinds): readonly unknown[] {
  const column = <T>(of: (numbered: Numbered) => T): T[] => batch.map(of)
  const field = <T>(of: (record: NormalRecord) => T): T[] => batch.map(({ checked }) => of(checked.record))
  return [
    column(({ checked }) => numbers.tenantNo(checked.tenant)),
    column(({ checked }) => checked.key),
    field(({ revision }) => revision),
    column(({ checked }) => checked.content),
    column(({ recordId }) => recordId),
    column(({ checked }) => numbers.targetNo({ tenant: checked.tenant, ...checked.record.target })),
    field(({ kind }) => kind),
    field(({ scope }) => scope),
    field(({ producedAt }) => producedAt),
    field(({ window }) => window?.start ?? null),
    field(({ window }) => window?.end ?? null),
    field(({ kindVersion }) => kindVersion),
    field(({ producerId }) => producerId),
    field(({ context }) => context.jobId ?? null),
    field(({ context }) => context.runId ?? null),
    field(({ outcome }) => outcome ?? null),
    field(({ quality }) => quality),
    field((record) => facetsOf(record, kinds)),
    `[${field(bodyOf).join(',')}]`,
  ]
}

/** As `name=value`; the statement writes tenant and kind before it. Older versions of a kind may have declared fewer. */
function facetsOf({ kind, extras }: NormalRecord, kinds: MetadataKinds): string | null {
  const facets = (kinds.get(kind)?.facets ?? []).flatMap((name) => {
    const value = extras?.[name]
    return isFacet(value) ? [`${name}=${String(value)}`] : []
  })
  return facets.length === 0 ? null : JSON.stringify(facets)
}

/** What is in no column. The columns of a schema are stored once for all snapshots that have them. */
function bodyOf({ target, context, payload, links, extras, key, kind }: NormalRecord): string {
  const { jobId: _, runId: __, ...rest } = context
  const { columns: ___, ...snapshot } = payload
  const told = kind === schemaSnapshot.kind ? snapshot : payload
  return JSON.stringify({ payload: told, context: rest, links, extras, key, targetExtras: target.extras })
}

async function storeSchemas(tx: Queryable, numbers: Numbers, records: readonly CheckedRecord[]): Promise<void> {
  const snapshots = records.filter(({ record }) => record.kind === schemaSnapshot.kind)
  if (snapshots.length === 0) return
  await tx.query(STORE_SCHEMAS, [
    snapshots.map(({ tenant }) => numbers.tenantNo(tenant)),
    snapshots.map(({ record }) => record.payload.fingerprint),
    snapshots.map(({ record }) => canonicalJson(record.payload.columns ?? [])),
  ])
}

async function storeLinks(tx: Queryable, numbers: Numbers, stored: readonly Numbered[]): Promise<void> {
  const links = stored.flatMap(({ recordId, checked: { tenant, record } }) => {
    const { inputs = [], outputs = [], baselineRuns = [], parent } = record.links ?? {}
    const link = (rel: string, targetNo: number | null, otherRun: string | null) => ({
      tenantNo: numbers.tenantNo(tenant),
      runId: record.context.runId,
      rel,
      targetNo,
      otherRun,
      recordId,
    })
    return [
      ...inputs.map((input) => link('input', numbers.targetNo({ tenant, ...input }), null)),
      ...outputs.map((output) => link('output', numbers.targetNo({ tenant, ...output }), null)),
      ...baselineRuns.map((run) => link('baseline', null, run)),
      ...(parent === undefined ? [] : [link('parent', null, parent)]),
    ]
  })
  if (links.length === 0) return
  await tx.query(STORE_LINKS, [
    links.map(({ tenantNo }) => tenantNo),
    links.map(({ runId }) => runId),
    links.map(({ rel }) => rel),
    links.map(({ targetNo }) => targetNo),
    links.map(({ otherRun }) => otherRun),
    links.map(({ recordId }) => recordId),
  ])
}

async function tellApart(
  tx: Queryable,
  numbers: Numbers,
  notStored: readonly Numbered[],
): Promise<ReadonlyMap<string, StoreResult>> {
  if (notStored.length === 0) return new Map()
  const found = await tx.query<{ n: number; same: boolean; recordId: string }>(TELL_APART, [
    notStored.map((_, n) => n),
    notStored.map(({ checked }) => numbers.tenantNo(checked.tenant)),
    notStored.map(({ checked }) => checked.key),
    notStored.map(({ checked }) => checked.record.revision),
    notStored.map(({ checked }) => checked.content),
  ])
  const known = new Map(found.map(({ n, same, recordId }) => [n, { same, recordId }]))
  return new Map(notStored.map(({ recordId, checked }, n) => [recordId, resultOf(checked, known.get(n))]))
}

function resultOf(
  { record }: CheckedRecord,
  known: { readonly same: boolean; readonly recordId: string } | undefined,
): StoreResult {
  if (known?.same) return { outcome: 'replayed', recordId: known.recordId }
  const { kind, revision } = record
  if (known !== undefined) {
    const detail = `${kind}: expected what is stored as revision ${revision} of this fact, or a higher revision, got other content`
    return { outcome: 'refused', problem: problem('idempotency-conflict', detail), recordId: known.recordId }
  }
  // A first revision is in nobody's way: it was stored, or what it met is there to be seen.
  if (revision === 0) throw new PermanentError(`${kind}: expected it to be stored or known, got neither`)
  const detail = `${kind}: expected revision ${revision - 1} of this fact to be stored before ${revision}`
  return { outcome: 'refused', problem: problem('revision-gap', detail) }
}
