import type { Instant } from '../../instant.ts'
import { sample } from '../../json.ts'
import { type CheckedRecord, recordContent, recordKey } from './identity.ts'
import { instantText } from './instant-text.ts'
import { type JsonInput, type JsonObject, RECORD_BYTES_MAX, readJson, readJsonText } from './json-input.ts'
import { type KindBook, maybeRegistered } from './kind-book.ts'
import type { MetadataKinds } from './kinds.ts'
import { fieldErrors, problem, type RecordProblem, schemaInvalid } from './problem.ts'
import { type MetadataEnvironment, type NormalRecord, newMetadataRecord } from './record.ts'

/** Clocks of producers and of the store may differ by this. */
const FUTURE_MAX = 5n * 60n * 1_000_000n
/** Of kinds in a message: any number of them may be registered. */
const KINDS_CHARS_MAX = 500

export type CheckOptions = {
  readonly kinds: MetadataKinds
  /** Of the store: a record never says by itself whose it is. */
  readonly environment: MetadataEnvironment
  /** By the clock of the store. */
  readonly now: Instant
}

export type Checked =
  | { readonly ok: true; readonly checked: CheckedRecord }
  | { readonly ok: false; readonly problem: RecordProblem }

/** Whether `input` may be stored, with all that is wrong about it where not. Throws nothing, whatever comes. */
export function checkRecord(input: unknown, options: CheckOptions): Checked {
  return checkJson(readJson(input), options)
}

/** The same of JSON text, however hostile. */
export function checkRecordText(text: string, options: CheckOptions): Checked {
  // Escapes make text longer than what it says, at most by six.
  if (text.length > 6 * RECORD_BYTES_MAX) return refused(tooLarge(text.length))
  return checkJson(readJsonText(text), options)
}

/**
 * Of each what `check` makes of it. What is of a kind or version that this process does not know is checked once more
 * after the registry was asked.
 */
export async function checkAll<Item>(
  book: KindBook,
  items: readonly Item[],
  check: (item: Item, kinds: MetadataKinds) => Checked,
): Promise<readonly Checked[]> {
  const first = book.known()
  const results = items.map((item) => check(item, first))
  const unknown = results.flatMap((result, place) => (!result.ok && maybeRegistered(result.problem) ? [place] : []))
  if (unknown.length === 0) return results
  await book.reload()
  const known = book.known()
  for (const place of unknown) results[place] = check(items[place] as Item, known)
  return results
}

function checkJson(input: JsonInput, options: CheckOptions): Checked {
  if (!input.ok) return refused(schemaInvalid(input.errors))
  // As many as in canonical JSON: only the order differs.
  const bytes = Buffer.byteLength(JSON.stringify(input.value))
  if (bytes > RECORD_BYTES_MAX) return refused(tooLarge(bytes))
  const parsed = newMetadataRecord.safeParse(input.value)
  if (!parsed.success) return refused(schemaInvalid(fieldErrors(parsed.error, [])))
  const { recordId: _, effectiveAt: __, storedAt: ___, ...record } = parsed.data
  const wrong = checkKind(record, options.kinds) ?? checkPlace(record, options)
  if (wrong !== null) return refused(wrong)
  const { tenant } = options.environment
  const environment = { ...options.environment, ...record.context.environment, tenant }
  const normal = { ...record, context: { ...record.context, environment } }
  // An object, or it would be no record.
  const json = input.value as JsonObject
  const checked = { tenant, key: recordKey(record), content: recordContent(record, json), record: normal, json }
  return { ok: true, checked }
}

function checkKind(record: NormalRecord, kinds: MetadataKinds): RecordProblem | null {
  const kind = kinds.get(record.kind)
  if (kind === undefined) {
    const expected = sample([...kinds.keys()].join(', '), KINDS_CHARS_MAX)
    return problem('unknown-kind', `kind: expected one of ${expected}, got ${record.kind}`)
  }
  if (!kind.versions.includes(record.kindVersion)) {
    const expected = kind.versions.length === 0 ? 'none any more' : kind.versions.join(', ')
    return problem('unknown-kind-version', `kind ${kind.kind}: expected version ${expected}, got ${record.kindVersion}`)
  }
  const errors = kind.check(record, record.kindVersion)
  return errors.length === 0 ? null : schemaInvalid(errors)
}

function checkPlace(
  { context, window, key, links, producedAt }: NormalRecord,
  options: CheckOptions,
): RecordProblem | null {
  const { environment, now } = options
  const tenant = context.environment?.tenant
  if (tenant !== undefined && tenant !== environment.tenant) {
    return problem('wrong-tenant', `tenant: expected ${environment.tenant}, got ${tenant}`)
  }
  if (context.runId === undefined && window === undefined && key === undefined) {
    const detail = 'expected a run, a window or a key that names the fact, got none'
    return schemaInvalid([{ pointer: '', code: 'no-identity', detail }])
  }
  if (links !== undefined && context.runId === undefined) {
    return schemaInvalid([{ pointer: '/links', code: 'no-run', detail: 'expected a run that is linked, got none' }])
  }
  // Of fixed width: they sort as the instants do.
  const latest = instantText(now + FUTURE_MAX)
  for (const [what, at] of [
    ['producedAt', producedAt],
    ['window end', window?.end],
  ] as const) {
    if (at === undefined || at <= latest) continue
    return problem('produced-at-in-future', `${what}: expected at most 5 minutes in the future, got ${at}`)
  }
  return null
}

function tooLarge(bytes: number): RecordProblem {
  return problem('record-too-large', `record: expected at most ${RECORD_BYTES_MAX} bytes, got ${bytes}`)
}

function refused(wrong: RecordProblem): Checked {
  return { ok: false, problem: wrong }
}
