import { PermanentError } from '../../errors.ts'
import type { EmbeddedFiles } from './files.ts'
import { LOG_START, type LogPosition } from './index-file.ts'
import { segmentOf, segmentPath } from './paths.ts'
import { readLine, type StoredLine } from './stored-line.ts'

/** A segment is read whole; an append blob takes 50,000 blocks, and a line is at most one of them. */
const SEGMENT_BYTES = 16 * 1024 * 1024
const SEGMENT_LINES = 40_000
const NEWLINE = 0x0a

/** `log/<number>.jsonl`: every record in the order it was stored. What is in it is stored, nothing else is. */
export type EmbeddedLog = {
  readonly position: () => LogPosition
  /** Whole lines. False, and nothing is added, where there is something behind `position`: catch up first. */
  readonly append: (body: Uint8Array, lines: number) => Promise<boolean>
  /** Lines behind `position`, which moves over them. Cuts what a crash tore at the end. Throws PermanentError. */
  readonly catchUp: () => AsyncGenerator<StoredLine>
}

export type LogOptions = {
  readonly files: EmbeddedFiles
  /** Of the index; null: from the first line on. */
  readonly from: LogPosition | null
  readonly segmentBytes?: number | undefined
}

export function openLog({ files, from, segmentBytes = SEGMENT_BYTES }: LogOptions): EmbeddedLog {
  let at = from ?? LOG_START
  return {
    position: () => at,
    async append(body, lines) {
      if (at.bytes >= segmentBytes || at.lines >= SEGMENT_LINES) at = { segment: at.segment + 1, bytes: 0, lines: 0 }
      if (!(await files.append(segmentPath(at.segment), body, at.bytes))) return false
      at = { ...at, bytes: at.bytes + body.byteLength, lines: at.lines + lines }
      return true
    },
    async *catchUp() {
      const segments = await findSegments(files, at)
      const last = segments.at(-1)
      for (const segment of segments) {
        if (segment !== at.segment) at = { segment, bytes: 0, lines: 0 }
        const path = segmentPath(segment)
        const body = (await files.read(path, at.bytes)) ?? new Uint8Array()
        const whole = wholeBytes(body, segment === last)
        const start = at.bytes
        for (const { text, offset, end } of linesOf(body.subarray(0, whole))) {
          const line = readLine(text, `${path}, byte ${start + offset}`)
          at = { segment, bytes: start + end, lines: at.lines + 1 }
          yield line
        }
        if (whole === body.byteLength) continue
        if (segment !== last) {
          throw new PermanentError(`${path}: expected whole lines, got a torn one at byte ${start + whole}`)
        }
        await files.cut(path, start + whole)
      }
    },
  }
}

/** Segments from a position on, without a gap. */
async function findSegments(files: EmbeddedFiles, at: LogPosition): Promise<readonly number[]> {
  const facts = new Map<number, number>()
  for (const { path, bytes } of await files.list('log')) {
    const segment = segmentOf(path)
    if (segment !== undefined && segment >= at.segment) facts.set(segment, bytes)
  }
  const bytes = facts.get(at.segment) ?? 0
  if (bytes < at.bytes) {
    const path = segmentPath(at.segment)
    throw new PermanentError(`${path}: expected at least ${at.bytes} bytes, which the index knows, got ${bytes}`)
  }
  const segments = [...facts.keys()].sort((a, b) => a - b)
  for (const [place, segment] of segments.entries()) {
    if (segment === at.segment + place) continue
    throw new PermanentError(`${files.place}: expected ${segmentPath(at.segment + place)}, got ${segmentPath(segment)}`)
  }
  return segments
}

/**
 * How much of it are whole lines. Of the last append of a log, after a loss of power, later bytes may be there without
 * earlier ones, which then are NUL: JSON has none.
 */
function wholeBytes(body: Uint8Array, last: boolean): number {
  const nul = last ? body.indexOf(0) : -1
  const readable = nul < 0 ? body : body.subarray(0, nul)
  return readable.lastIndexOf(NEWLINE) + 1
}

function* linesOf(body: Uint8Array) {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  for (let offset = 0; offset < bytes.byteLength; ) {
    const end = bytes.indexOf(NEWLINE, offset) + 1
    yield { text: bytes.toString('utf8', offset, end - 1), offset, end }
    offset = end
  }
}
