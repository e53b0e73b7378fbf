import { z } from 'zod'
import { formatInstant, type Instant } from '../../instant.ts'
import { canonicalJson } from '../../json.ts'
import { sha256Hex } from '../../sha256.ts'
import type { CheckedRecord } from '../model/identity.ts'
import type { RecordProblem } from '../model/problem.ts'
import type { EmbeddedFiles } from './files.ts'

export const REJECTS_PATH = 'rejects.jsonl'

/** Kept in one file: an append blob takes 50,000 blocks. Who repeats a conflict with ever other content fills it. */
const REJECTS_MAX = 40_000
const NEWLINE = 0x0a

export type EmbeddedReject = {
  readonly checked: CheckedRecord
  readonly problem: RecordProblem
  /** What is stored instead. */
  readonly recordId: string | undefined
}

/** Records that were not stored and will not be by themselves, a line each. */
export type RejectsFile = {
  /** One that is there already is not kept again; above 40,000 none is, and their producers were told all the same. */
  readonly keep: (rejects: readonly EmbeddedReject[], now: Instant) => Promise<void>
}

const rejectLine = z.object({ code: z.string(), record: z.string() })

export function createRejectsFile(files: EmbeddedFiles): RejectsFile {
  // Undefined: to be read, because it was not yet, or because an append may have happened.
  let known: { readonly names: Set<string>; bytes: number } | undefined

  const load = async () => {
    const body = (await files.read(REJECTS_PATH)) ?? new Uint8Array()
    const bytes = body.lastIndexOf(NEWLINE) + 1
    if (bytes < body.byteLength) await files.cut(REJECTS_PATH, bytes)
    const text = Buffer.from(body.buffer, body.byteOffset, bytes).toString('utf8')
    const lines = text.split('\n').slice(0, -1)
    return { names: new Set(lines.map((line) => nameOf(rejectLine.parse(JSON.parse(line))))), bytes }
  }

  return {
    async keep(rejects, now) {
      if (rejects.length === 0) return
      const { names, bytes } = known ?? (await load())
      known = undefined
      const lines: string[] = []
      for (const { checked, problem, recordId } of rejects) {
        const { code, detail, errors } = problem
        const record = canonicalJson(checked.json)
        const name = nameOf({ code, record })
        if (names.has(name) || names.size >= REJECTS_MAX) continue
        names.add(name)
        lines.push(JSON.stringify({ code, detail, errors, recordId, rejectedAt: formatInstant(now), record }))
      }
      const added = Buffer.from(lines.map((line) => `${line}\n`).join(''))
      if (added.byteLength > 0 && !(await files.append(REJECTS_PATH, added, bytes))) {
        throw new Error(`${files.place}: expected ${REJECTS_PATH} to have ${bytes} bytes, got others`)
      }
      known = { names, bytes: bytes + added.byteLength }
    },
  }
}

function nameOf({ code, record }: z.output<typeof rejectLine>): string {
  return sha256Hex(`${code} ${record}`).slice(0, 32)
}
