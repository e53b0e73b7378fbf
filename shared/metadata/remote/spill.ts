import { randomUUID } from 'node:crypto'
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { readJsonText } from '../model/json-input.ts'
import type { RecordLine } from './record-line.ts'

/** Records that wait on disk: a folder, of which any number of processes may be writers and readers. */
export type Spill = {
  /** How many of the lines are kept, in one file, durable when it returns; the rest is more than the folder may hold. */
  readonly write: (lines: readonly RecordLine[]) => number
  /** Names of the files, oldest first. */
  readonly files: () => readonly string[]
  readonly read: (file: string) => SpilledFile
  readonly remove: (file: string) => void
}

export type SpilledFile = {
  readonly lines: readonly RecordLine[]
  /** Lines that are no JSON: somebody else wrote there, or the disk lost them. */
  readonly damaged: number
  readonly writtenAtMs: number
}

/** Of the milliseconds at which a name begins. */
const TIME_CHARS = 15
const ENDING = '.jsonl'

/**
 * Each write is a file of its own, renamed when it is whole: nobody reads, or removes, what is still being written. Two
 * readers of one file send it twice, which is a replay. Synchronous, so that it can be the last thing a process does.
 */
export function openSpill(folder: string, bytesMax: number): Spill {
  const files = () => {
    mkdirSync(folder, { recursive: true })
    return readdirSync(folder)
      .filter((name) => name.endsWith(ENDING))
      .sort()
  }
  return {
    files,
    write(lines) {
      if (lines.length === 0) return 0
      let room = bytesMax - bytesOf(folder, files())
      const kept: string[] = []
      for (const { text, bytes } of lines) {
        room -= bytes + 1
        if (room < 0) break
        kept.push(`${text}\n`)
      }
      if (kept.length > 0) writeWhole(folder, kept.join(''))
      return kept.length
    },
    read(file) {
      const texts = readFileSync(join(folder, file), 'utf8').split('\n').filter(Boolean)
      const whole = texts.filter((text) => readJsonText(text).ok)
      return {
        lines: whole.map((text) => ({ text, bytes: Buffer.byteLength(text) })),
        damaged: texts.length - whole.length,
        writtenAtMs: Number(file.slice(0, TIME_CHARS)),
      }
    },
    remove: (file) => rmSync(join(folder, file), { force: true }),
  }
}

/** Time first, so that names sort as they were written: a correction after what it corrects. */
function writeWhole(folder: string, text: string): void {
  const name = join(folder, `${String(Date.now()).padStart(TIME_CHARS, '0')}-${randomUUID()}`)
  const file = openSync(`${name}.part`, 'wx', 0o600)
  try {
    const bytes = Buffer.from(text)
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(`${name}.part`, `${name}${ENDING}`)
  syncFolder(folder)
}

/** Without it the name may be lost with the power. Windows knows no such thing. */
function syncFolder(folder: string): void {
  if (process.platform === 'win32') return
  const handle = openSync(folder, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}

function bytesOf(folder: string, files: readonly string[]): number {
  return files.reduce((sum, file) => sum + (statSync(join(folder, file), { throwIfNoEntry: false })?.size ?? 0), 0)
}
