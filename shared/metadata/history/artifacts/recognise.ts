import type { Instant } from '../../../instant.ts'
import { sample } from '../../../json.ts'
import { instantText } from '../../model/instant-text.ts'
import type { JsonObject } from '../../model/json-input.ts'
import { fieldErrors } from '../../model/problem.ts'
import { type ImportEvent, runKey } from '../import-event.ts'
import type { Artifact } from '../import-summary.ts'
import type { ArtifactFormat } from './artifact.ts'
import { catalogSnapshot } from './catalog-snapshot.ts'
import { guardrailReport } from './guardrail-report.ts'
import { progressLine } from './progress-line.ts'
import { reconOutput } from './recon-output.ts'
import { sliceManifest } from './slice-manifest.ts'

/** Documented with their JSON Schemas; the first that recognises an object reads it. */
export const ARTIFACT_FORMATS: readonly ArtifactFormat[] = [
  sliceManifest,
  catalogSnapshot,
  reconOutput,
  guardrailReport,
  progressLine,
]

export type Recognised =
  | { readonly ok: true; readonly artifact: Artifact; readonly events: readonly ImportEvent[] }
  | { readonly ok: false; readonly reason: string }

// PostgreSQL knows no year 0.
const EARLIEST = '0001'

/** What an object of an artifact tells. An event is kept for ever, so that what no record may say must not become one. */
export function recognise(value: JsonObject, now: Instant): Recognised {
  const format = ARTIFACT_FORMATS.find(({ recognises }) => recognises(value))
  if (format === undefined) {
    const expected = 'expected a property of an artifact: event and ts, slices, decision, check or columns'
    return { ok: false, reason: `${expected}, got ${sample(Object.keys(value).join(', ') || 'none', 120)}` }
  }
  const read = format.read(value)
  if (!read.ok) {
    const [error] = fieldErrors(read.error, [])
    return { ok: false, reason: `${format.artifact}${error?.pointer}: ${error?.detail}` }
  }
  const latest = instantText(now)
  for (const event of read.events) {
    const times = [event.at, ...('window' in event && event.window ? [event.window.start, event.window.end] : [])]
    const wrong = times.find((time) => time > latest || time < EARLIEST)
    if (wrong !== undefined) {
      const reason = `${format.artifact} of ${runKey(event)}: expected times in the past, from the year 1 on, got ${wrong}`
      return { ok: false, reason }
    }
  }
  return { ok: true, artifact: format.artifact, events: read.events }
}
