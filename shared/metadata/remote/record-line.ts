import { type JsonObject, readJson } from '../model/json-input.ts'
import { problem, type RecordProblem, schemaInvalid } from '../model/problem.ts'
import type { MetadataEnvironment } from '../model/record.ts'

/** What a request holds at most, with room for what is around the records. */
export const LINE_BYTES_MAX = 1024 * 1024 - 64

/** A record as it is sent, kept and sent again: the same bytes each time. */
export type RecordLine = { readonly text: string; readonly bytes: number }

export type LineResult =
  | { readonly ok: true; readonly line: RecordLine }
  | { readonly ok: false; readonly problem: RecordProblem }

/**
 * JSON text of a record, whatever came; what no JSON reader would take as it was meant is refused here, before
 * JSON.stringify makes something else of it. `environment` says where it was produced, unless the record does.
 */
export function recordLine(record: unknown, environment: Partial<MetadataEnvironment> = {}): LineResult {
  const json = readJson(record)
  if (!json.ok) return { ok: false, problem: schemaInvalid(json.errors) }
  const text = JSON.stringify(inEnvironment(json.value, environment))
  const bytes = Buffer.byteLength(text)
  if (bytes <= LINE_BYTES_MAX) return { ok: true, line: { text, bytes } }
  return { ok: false, problem: problem('record-too-large', `record: expected at most 1 MiB, got ${bytes} bytes`) }
}

function inEnvironment(value: unknown, environment: Partial<MetadataEnvironment>): unknown {
  if (Object.keys(environment).length === 0 || !isObject(value) || !isObject(value.context)) return value
  const { context } = value
  const said = isObject(context.environment) ? context.environment : {}
  return { ...value, context: { ...context, environment: { ...environment, ...said } } }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
