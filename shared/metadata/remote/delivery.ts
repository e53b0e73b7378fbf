import { PermanentError, TransientError, toError } from '../../errors.ts'
import type { StoreResult } from '../model/repository.ts'
import type { Counter } from './flush-counts.ts'
import type { RecordLine } from './record-line.ts'
import { sendRecords } from './send-records.ts'
import type { ServiceClient } from './service-client.ts'
import type { Spill } from './spill.ts'

export type Delivery = {
  /** Whether the service answered; what it did not take is on disk then. Never rejects. */
  readonly send: (lines: readonly RecordLine[], stop: AbortSignal) => Promise<boolean>
  /** Sends what is on disk, oldest first, until `stop`. */
  readonly replay: (stop: AbortSignal) => Promise<void>
  readonly putAside: (lines: readonly RecordLine[], why: Error) => void
  /** What is sent and not answered. */
  readonly flying: () => readonly RecordLine[]
}

/** A correction whose predecessor has not come by then never will have one. */
const GAP_MS_MAX = 86_400_000

/** Records to the service or, where that is away or wants them later, to disk. */
export function createDelivery(client: ServiceClient, spill: Spill | null, counter: Counter): Delivery {
  let flying: readonly RecordLine[] = []

  const putAside = (lines: readonly RecordLine[], why: Error) => {
    if (lines.length === 0) return
    const { kept, error } = written(spill, lines)
    counter.addUnsent(kept, lines.length - kept, error ?? why)
  }
  const replayFile = async (kept: Spill, file: string, stop: AbortSignal): Promise<boolean> => {
    const { lines, damaged, writtenAtMs } = kept.read(file)
    const { results, error } = await sendRecords(client, lines, { stop, attemptsMax: 1 })
    if (error !== null) return false
    // What waits for an earlier revision keeps the whole file, and its age: the others are replays next time.
    if (!results.every(isFinal) && Date.now() - writtenAtMs <= GAP_MS_MAX) return true
    counter.add(results.filter((result) => result !== null))
    if (damaged > 0)
      counter.addUnsent(0, damaged, new PermanentError(`${file}: expected json, got ${damaged} lines of none`))
    kept.remove(file)
    return true
  }

  return {
    putAside,
    flying: () => flying,
    async send(lines, stop) {
      flying = lines
      const { results, error } = await sendRecords(client, lines, { stop })
      flying = []
      counter.add(results.filter(isFinal))
      const left = lines.filter((_, place) => !isFinal(results[place]))
      putAside(left, error ?? new TransientError('records: expected what they correct to be stored, got none'))
      return error === null
    },
    async replay(stop) {
      if (spill === null) return
      try {
        for (const file of spill.files()) {
          if (stop.aborted || !(await replayFile(spill, file, stop))) return
        }
      } catch (error) {
        // A folder that cannot be read is told of, and fails nobody.
        counter.addUnsent(0, 0, toError(error))
      }
    },
  }
}

function isFinal(result: StoreResult | null | undefined): result is StoreResult {
  if (result === null || result === undefined) return false
  return result.outcome !== 'refused' || !result.problem.retriable
}

/** A disk that is full or gone is no reason to fail: what it does not take is dropped. */
function written(spill: Spill | null, lines: readonly RecordLine[]): { readonly kept: number; readonly error?: Error } {
  try {
    return { kept: spill?.write(lines) ?? 0 }
  } catch (error) {
    return { kept: 0, error: toError(error) }
  }
}
