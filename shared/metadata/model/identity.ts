import { createHash } from 'node:crypto'
import { canonicalJson } from '../../json.ts'
import type { JsonObject } from './json-input.ts'
import type { NormalRecord } from './record.ts'

/** A record with its identity: what the stores take. */
export type CheckedRecord = {
  readonly tenant: string
  /** Names the fact: the same for every revision and every delivery of it. */
  readonly key: string
  /** Of what is said. Equal key, revision and content: a replay. */
  readonly content: string
  readonly record: NormalRecord
  /** As it came: what is written to an outbox, and kept where it can not be stored. */
  readonly json: JsonObject
}

/** What names the fact of a record. */
export type FactName = Pick<NormalRecord, 'producerId' | 'kind' | 'target' | 'scope' | 'window' | 'key'> & {
  readonly context: Pick<NormalRecord['context'], 'runId'>
}

/**
 * An array, because text joined with a separator lets `a|b`, `c` meet `a`, `b|c`. A caller's key lives under producer
 * and kind: two producers can not collide.
 */
export function recordKey(record: FactName): string {
  const { producerId, kind, target, scope, context, window, key } = record
  if (key !== undefined) return hashOf(canonicalJson([producerId, kind, key]))
  const named = [target.sourceId, target.schema, target.table]
  const times = window === undefined ? null : [window.start, window.end]
  return hashOf(canonicalJson([producerId, kind, named, scope, context.runId ?? null, times]))
}

/** Of all but id, producedAt and context: a restarted producer with a new clock says the same. `json` is the record. */
export function recordContent(record: NormalRecord, json: JsonObject): string {
  const { kind, kindVersion, scope, window, outcome, quality } = record
  const { payload = null, links = null, extras = null } = json
  const times = window === undefined ? null : [window.start, window.end]
  return hashOf(canonicalJson([kind, kindVersion, scope, times, payload, outcome ?? null, links, quality, extras]))
}

/** The first 16 bytes of SHA-256, as PostgreSQL's uuid takes them: half the index of the whole. */
function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32)
}
