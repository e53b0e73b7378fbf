import type { z } from 'zod'
import type { Instant } from '../../instant.ts'
import { type CheckedRecord, recordContent, recordKey } from './identity.ts'
import { instantText } from './instant-text.ts'
import { type JsonInput, type JsonObject, RECORD_BYTES_MAX, readJson, readJsonText } from './json-input.ts'
import { FACET_CHARS_MAX, type MetadataKind } from './kind.ts'
import type { MetadataKinds } from './kinds.ts'
import { type FieldError, pointerOf, problem, type RecordProblem, schemaInvalid } from './problem.ts'
import { type MetadataEnvironment, type NormalRecord, newMetadataRecord } from './record.ts'

/** Clocks of producers and of the store may differ by this. */
const FUTURE_MAX = 5n * 60n * 1_000_000n

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
    return problem('unknown-kind', `kind: expected one of ${[...kinds.keys()].join(', ')}, got ${record.kind}`)
  }
  if (!kind.versions.includes(record.kindVersion)) {
    const expected = kind.versions.join(', ')
    return problem('unknown-kind-version', `kind ${kind.kind}: expected version ${expected}, got ${record.kindVersion}`)
  }
  const errors = [...outcomeErrors(record, kind), ...facetErrors(record, kind)]
  const payload = kind.payload.safeParse(record.payload)
  if (!payload.success) errors.push(...fieldErrors(payload.error, ['payload']))
  return errors.length === 0 ? null : schemaInvalid(errors)
}

function outcomeErrors({ outcome }: NormalRecord, kind: MetadataKind): FieldError[] {
  const at = (detail: string) => [{ pointer: '/outcome', code: 'outcome', detail }]
  if (kind.outcomes === null) {
    return outcome === undefined ? [] : at(`expected none for ${kind.kind}, got ${outcome}`)
  }
  if (outcome !== undefined && kind.outcomes.includes(outcome)) return []
  return at(`expected one of ${kind.outcomes.join(', ')}, got ${outcome ?? 'none'}`)
}

function facetErrors({ extras }: NormalRecord, kind: MetadataKind): FieldError[] {
  return kind.facets.flatMap((name) => {
    const value = extras?.[name]
    if (value === undefined || isFacet(value)) return []
    const detail = `expected text, a number or a boolean of at most ${FACET_CHARS_MAX} characters to filter by`
    return [{ pointer: pointerOf(['extras', name]), code: 'facet', detail }]
  })
}

function isFacet(value: unknown): boolean {
  return ['string', 'number', 'boolean'].includes(typeof value) && String(value).length <= FACET_CHARS_MAX
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

function fieldErrors(error: z.ZodError, path: readonly PropertyKey[]): FieldError[] {
  return error.issues.flatMap((issue): FieldError[] => {
    const at = [...path, ...issue.path]
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((name) => ({
        pointer: pointerOf([...at, name]),
        code: issue.code,
        detail: 'expected no such property',
      }))
    }
    const detail = issue.message.charAt(0).toLowerCase() + issue.message.slice(1)
    return [{ pointer: pointerOf(at), code: issue.code, detail }]
  })
}

function tooLarge(bytes: number): RecordProblem {
  return problem('record-too-large', `record: expected at most ${RECORD_BYTES_MAX} bytes, got ${bytes}`)
}

function refused(wrong: RecordProblem): Checked {
  return { ok: false, problem: wrong }
}
