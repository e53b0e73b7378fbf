import type { BlobContainer } from '../../azure/blobs.ts'
import { PermanentError, toError } from '../../errors.ts'
import type { Instant } from '../../instant.ts'
import { logPath } from '../feed/log-hour.ts'
import { type LoggedRecord, readLogLine } from './logged-record.ts'

const LOG_HOUR = /^log\/\d{4}\/\d\d\/\d\d\/\d\d\.jsonl$/
const CHUNK_BYTES = 4 * 1024 * 1024
const NEWLINE = 0x0a

/** Repeats are next to each other but after a restart of the feed, which tells everything again. */
const REMEMBERED_MAX = 1_000_000

export type ReadLogOptions = {
  readonly container: BlobContainer
  /** The hour that this is in, and all that follow. */
  readonly from: Instant
  /** The last hour; absent: to where the log ends now. */
  readonly to?: Instant
  /** Told of each line that was cut off, and left out: `log/2026/11/21/10.jsonl at byte 1024`. */
  readonly torn?: (place: string) => void
  /** Ids of so many records are remembered, to be dropped when they come again. */
  readonly rememberedMax?: number
}

/**
 * What the log says, in its order, each record once. Memory is bounded: a part of a blob, and the ids that are
 * remembered (about 100 bytes each).
 */
export async function* readLog(options: ReadLogOptions): AsyncGenerator<LoggedRecord> {
  const { container, from, to, torn, rememberedMax = REMEMBERED_MAX } = options
  const [first, last] = [logPath(from), to === undefined ? undefined : logPath(to)]
  const seen = new Set<string>()
  for await (const { path } of container.list('log/')) {
    if (!LOG_HOUR.test(path) || path < first) continue
    if (last !== undefined && path > last) return
    for await (const { line, offset, whole } of linesOf(container, path)) {
      const place = `${path} at byte ${offset}`
      const logged = whole ? readLine(line, place) : null
      if (logged === null) {
        if (line !== '') torn?.(place)
        continue
      }
      const { recordId } = logged.record
      if (seen.has(recordId)) continue
      if (seen.size >= rememberedMax) forgetOldest(seen)
      seen.add(recordId)
      yield logged
    }
  }
}

function readLine(line: string, place: string): LoggedRecord | null {
  try {
    return readLogLine(line)
  } catch (error) {
    throw new PermanentError(`log ${place}: expected a metadata record, got ${toError(error).message}`)
  }
}

function forgetOldest(seen: Set<string>): void {
  const [oldest] = seen
  if (oldest !== undefined) seen.delete(oldest)
}

type Line = { readonly line: string; readonly offset: number; readonly whole: boolean }

async function* linesOf(container: BlobContainer, path: string): AsyncGenerator<Line> {
  let rest = Buffer.alloc(0)
  let offset = 0
  for (;;) {
    const chunk = await container.range(path, offset + rest.length, CHUNK_BYTES)
    if (chunk === null || chunk.length === 0) break
    const bytes = Buffer.concat([rest, chunk])
    let start = 0
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
      yield { line: bytes.toString('utf8', start, end), offset: offset + start, whole: true }
      start = end + 1
    }
    rest = bytes.subarray(start)
    offset += start
  }
  if (rest.length > 0) yield { line: rest.toString('utf8'), offset, whole: false }
}
