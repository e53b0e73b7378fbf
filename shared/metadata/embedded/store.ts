import { LeaseLostError, TransientError } from '../../errors.ts'
import type { Instant } from '../../instant.ts'
import type { CheckedRecord } from '../model/identity.ts'
import type { StoreResult } from '../model/repository.ts'
import { type Folded, resultsOf, waves } from '../model/waves.ts'
import { type Decided, decide } from './decide.ts'
import type { WriterLock } from './files.ts'
import { type Journal, type JournalOptions, openJournal } from './journal.ts'
import type { MemoryIndex } from './memory-index.ts'
import { createRejectsFile, type EmbeddedReject, type RejectsFile } from './rejects-file.ts'

export const LOCK_PATH = 'lock'

const BATCH_MAX = 500
/** Of one append, beyond which it takes no other record: with the largest one it stays below a block of 4 MiB. */
const APPEND_CHARS = 1024 * 1024
const MISSES_MAX = 3

/** Everything about writing; reading goes to the journal. */
export type EmbeddedStore = Pick<Journal, 'index' | 'read'> & {
  /** Results in the order of the records. Throws LeaseLostError where another writer took over. */
  readonly write: (records: readonly CheckedRecord[], now: Instant) => Promise<readonly StoreResult[]>
  readonly close: () => Promise<void>
}

type Parts = { readonly journal: Journal; readonly rejects: RejectsFile; readonly place: string }

/** Throws LeaseLostError where another writer has it. */
export async function openStore(options: JournalOptions): Promise<EmbeddedStore> {
  const { files } = options
  const lock = await files.lock(LOCK_PATH)
  try {
    const journal = await openJournal(options)
    await journal.saveIndex('grown')
    return lockedStore({ journal, rejects: createRejectsFile(files), place: files.place }, lock)
  } catch (error) {
    await lock.release()
    throw error
  }
}

function lockedStore(parts: Parts, lock: WriterLock): EmbeddedStore {
  const { journal, place } = parts
  const oneByOne = serially()
  let closed = false

  const write = async (records: readonly CheckedRecord[], now: Instant) => {
    if (closed) throw new Error(`${place}: expected an open repository, got a closed one`)
    await lock.hold()
    const results: StoreResult[] = []
    for (let start = 0; start < records.length; start += BATCH_MAX) {
      const told: StoreResult[] = []
      for (const wave of waves(records.slice(start, start + BATCH_MAX))) await writeWave(parts, wave, now, told)
      results.push(...told)
      await journal.saveIndex('grown')
    }
    return results
  }
  const close = async () => {
    if (closed) return
    closed = true
    try {
      await lock.hold()
      await journal.settle()
      await journal.saveIndex('changed')
    } catch (error) {
      // Whoever has it now does the rest.
      if (!(error instanceof LeaseLostError)) throw error
    } finally {
      await lock.release()
    }
  }
  return {
    index: journal.index,
    read: journal.read,
    write: (records, now) => oneByOne(() => write(records, now)),
    close: () => oneByOne(close),
  }
}

/** `told` by place. A conflict is kept before it is told. */
async function writeWave(parts: Parts, wave: readonly Folded[], now: Instant, told: StoreResult[]): Promise<void> {
  const { journal, rejects, place } = parts
  const conflicts: EmbeddedReject[] = []
  await journal.settle()
  let misses = 0
  for (let next = 0; next < wave.length; ) {
    const decided = decideSome(journal.index, wave.slice(next), now)
    const texts = decided.flatMap(({ text }) => text ?? [])
    if (texts.length > 0 && !(await journal.append(texts))) {
      if (++misses === MISSES_MAX) {
        throw new TransientError(`${place}: expected to be the only writer, got ${misses} appends of another`)
      }
      await journal.settle()
      continue
    }
    for (const { result } of decided) {
      const folded = wave[next++]
      if (folded === undefined) continue
      for (const [at, shared] of resultsOf(folded, result)) told[at] = shared
      if (result.outcome !== 'refused' || result.problem.code !== 'idempotency-conflict') continue
      conflicts.push({ checked: folded.checked, problem: result.problem, recordId: result.recordId })
    }
  }
  await journal.settle()
  await rejects.keep(conflicts, now)
}

/** As many as make one append. No key comes twice in a wave, so none depends on another. */
function decideSome(index: MemoryIndex, wave: readonly Folded[], now: Instant): readonly Decided[] {
  const decided: Decided[] = []
  let chars = 0
  for (const { checked } of wave) {
    if (chars >= APPEND_CHARS) break
    const one = decide(index, checked, now)
    chars += one.text?.length ?? 0
    decided.push(one)
  }
  return decided
}

/** Runs one at a time, in the order they came. */
function serially() {
  let last: Promise<unknown> = Promise.resolve()
  return <T>(work: () => Promise<T>): Promise<T> => {
    const result = last.then(work)
    last = result.catch(() => undefined)
    return result
  }
}
