import type { KindBook } from '../model/kind-book.ts'
import type { MetadataRecord } from '../model/record.ts'
import type { EmbeddedFiles } from './files.ts'
import { inParallel } from './in-parallel.ts'
import { INDEX_PATH, readIndex, writeIndex } from './index-file.ts'
import { openLog } from './log.ts'
import { createMemoryIndex, type Entry, type MemoryIndex } from './memory-index.ts'
import { createRecordFiles } from './record-files.ts'
import { readLine, type StoredLine } from './stored-line.ts'

const FILES_AT_ONCE = 16
const UNFILED_MAX = 500
/** The index is written anew when it has grown by this, and by a quarter: a fixed cost per record. */
const INDEX_GROWTH_MIN = 1_000

/**
 * The log is the truth: what has a whole line in it is stored, everything else is made of it. So the line comes first,
 * then the record's file, then, now and then, the index; and what a crash left undone is done by reading the log from
 * where the index ends.
 */
export type Journal = {
  readonly index: MemoryIndex
  /** In the order of the entries. */
  readonly read: (entries: readonly Entry[]) => Promise<readonly MetadataRecord[]>
  /** After it everything in the log is in memory and in files. Before every decision. */
  readonly settle: () => Promise<void>
  /** Makes lines durable. False where others were appended meanwhile, by which to decide anew: nothing of these is. */
  readonly append: (texts: readonly string[]) => Promise<boolean>
  readonly saveIndex: (when: 'grown' | 'changed') => Promise<void>
}

export type JournalOptions = {
  /** Of one tenant, and locked. */
  readonly files: EmbeddedFiles
  readonly kinds: KindBook
  readonly limits?: JournalLimits | undefined
}

/** Absent ones are what is good for disks and containers; tests have smaller ones. */
export type JournalLimits = { readonly segmentBytes?: number; readonly indexGrowthMin?: number }

export async function openJournal({ files, kinds, limits = {} }: JournalOptions): Promise<Journal> {
  const { segmentBytes, indexGrowthMin = INDEX_GROWTH_MIN } = limits
  const body = await files.read(INDEX_PATH)
  const known = body === null ? null : readIndex(body)
  const index = known?.index ?? createMemoryIndex()
  const log = openLog({ files, from: known?.log ?? null, segmentBytes })
  const recordFiles = createRecordFiles(files)
  /** In the log and in memory, and maybe not yet in a file. */
  const unfiled = new Map<string, StoredLine>()
  let indexed = index.size()
  /** Something may be in the log that is not in memory: after an append of which we do not know whether it happened. */
  let behind = true

  const take = (line: StoredLine) => {
    if (index.add(line, kinds.known()) !== null) unfiled.set(line.record.recordId, line)
  }
  const file = async () => {
    await inParallel([...unfiled.values()], FILES_AT_ONCE, async (line) => {
      await recordFiles.write(line)
      unfiled.delete(line.record.recordId)
    })
  }
  const settle = async () => {
    if (behind) {
      for await (const line of log.catchUp()) {
        take(line)
        if (unfiled.size >= UNFILED_MAX) await file()
      }
      behind = false
    }
    await file()
  }
  await settle()

  return {
    index,
    settle,
    read: (entries) =>
      inParallel(entries, FILES_AT_ONCE, async (entry) => {
        const { target, kind } = entry.series
        return unfiled.get(entry.recordId)?.record ?? recordFiles.read({ ...entry, target, kind })
      }),
    async append(texts) {
      behind = true
      if (!(await log.append(Buffer.from(texts.join('')), texts.length))) return false
      behind = false
      // Read as after a restart: a text that is a part of a longer one would keep all of that in memory.
      for (const text of texts) take(readLine(text, 'a line just written'))
      return true
    },
    async saveIndex(when) {
      const size = index.size()
      if (size - indexed < (when === 'changed' ? 1 : Math.max(indexGrowthMin, indexed / 4))) return
      await files.replace(INDEX_PATH, writeIndex(index, log.position()))
      indexed = size
    },
  }
}
