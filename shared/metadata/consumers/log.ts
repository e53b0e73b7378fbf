import { APPEND_BYTES_MAX, type BlobContainer } from '../../azure/blobs.ts'
import { TransientError } from '../../errors.ts'
import type { Instant } from '../../instant.ts'
import type { FeedConsumer } from '../feed/consumer.ts'
import type { FedRecord } from '../feed/feed.ts'
import { HOUR, logPath } from '../feed/log-hour.ts'
import { logLine, readLogLine } from './logged-record.ts'

export const LOG_CONSUMER = 'log'

/** Others that append to the same blob can only be writers that lost their lease: they end soon. */
const TRIES_MAX = 5

/** Where this process appended last: null where somebody else may have done so since, or where no answer came. */
type End = { readonly path: string; readonly position: number }

/**
 * The log: append blobs of one hour each, in the container `metadata`. The hour is when the page was read, so that an
 * hour is never written to once a later one is there, but with records that are in a later one too: readers go forward
 * only, and drop ids that they have seen.
 *
 * Each block goes to the position where the blob ended. After an answer that was lost, a crash, or another writer, what
 * is at its end is read back, and is not appended again. A blob takes 50,000 blocks: with many records in each that is
 * more than an hour brings; if it ever is not, appends fail until the hour is over, and the cursor waits.
 */
export function logConsumer({ container }: { readonly container: BlobContainer }): FeedConsumer {
  let end: End | null = null

  const appendBlock = async (path: string, records: readonly FedRecord[]) => {
    for (let attempt = 0; attempt < TRIES_MAX; attempt++) {
      const at: { position: number; torn: boolean; ids: ReadonlySet<string> } =
        end?.path === path ? { position: end.position, torn: false, ids: new Set() } : await readEnd(container, path)
      end = null
      const missing = records.filter(({ record }) => !at.ids.has(record.recordId))
      if (missing.length === 0) {
        end = { path, position: at.position }
        return
      }
      const lines = missing.map(logLine).join('')
      const result = await container.append(path, Buffer.from(at.torn ? `\n${lines}` : lines), {
        position: at.position,
        contentType: 'application/x-ndjson',
      })
      if (result.appended) {
        end = { path, position: result.position }
        return
      }
    }
    throw new TransientError(`log ${path}: expected one writer, got another each time`)
  }

  return {
    name: LOG_CONSUMER,
    async consume(records, { readAt, signal }) {
      const path = await hourToWrite(container, readAt, end)
      for (const block of blocksOf(records)) {
        signal.throwIfAborted()
        await appendBlock(path, block)
      }
    },
  }
}

/** The hour of the read, unless a later one was begun: the database's clock may have gone back a little since. */
async function hourToWrite(container: BlobContainer, readAt: Instant, end: End | null): Promise<string> {
  const hour = logPath(readAt)
  if (end?.path === hour) return hour
  const next = logPath(readAt + HOUR)
  if (end?.path === next) return next
  return (await container.head(next)) === null ? hour : next
}

/** Many records each, as one append takes them; a record is 256 KiB at most. */
function blocksOf(records: readonly FedRecord[]): readonly (readonly FedRecord[])[] {
  const blocks: FedRecord[][] = []
  let bytes = APPEND_BYTES_MAX
  for (const record of records) {
    const length = Buffer.byteLength(logLine(record))
    // One byte for the line that may have to be ended first.
    if (bytes + length >= APPEND_BYTES_MAX) {
      blocks.push([])
      bytes = 0
    }
    blocks.at(-1)?.push(record)
    bytes += length
  }
  return blocks
}

/** Where a blob ends, and the ids of the records of about its last block. */
async function readEnd(container: BlobContainer, path: string) {
  const bytes = (await container.head(path))?.bytes ?? 0
  const start = Math.max(0, bytes - APPEND_BYTES_MAX)
  const tail = bytes === 0 ? new Uint8Array() : await container.range(path, start, bytes - start)
  const lines = Buffer.from(tail ?? [])
    .toString('utf8')
    .split('\n')
  // Behind the last line's end there is nothing, or what was cut off.
  const torn = lines.pop() !== ''
  const whole = start === 0 ? lines : lines.slice(1)
  const ids = new Set(whole.flatMap((line) => readLogLine(line)?.record.recordId ?? []))
  return { position: bytes, torn, ids }
}
