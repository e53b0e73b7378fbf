import type { RecordLine } from './record-line.ts'

/** Records that wait in memory: at most so many, of at most so many bytes. */
export type LineQueue = {
  readonly length: number
  readonly isFull: (line: RecordLine) => boolean
  readonly put: (line: RecordLine) => void
  /** All of them; none is left. */
  readonly take: () => readonly RecordLine[]
}

export function createLineQueue(linesMax: number, bytesMax: number): LineQueue {
  let lines: RecordLine[] = []
  let bytes = 0
  return {
    get length() {
      return lines.length
    },
    isFull: (line) => lines.length >= linesMax || bytes + line.bytes > bytesMax,
    put(line) {
      lines.push(line)
      bytes += line.bytes
    },
    take() {
      const taken = lines
      lines = []
      bytes = 0
      return taken
    },
  }
}
