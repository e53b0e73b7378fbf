import type { BlobLease, BlobLeases } from '../../azure/blob-lease.ts'
import type { BlobContainer } from '../../azure/blobs.ts'
import { LeaseLostError, PermanentError, TransientError } from '../../errors.ts'
import type { EmbeddedFiles, FileFacts, WriterLock } from './files.ts'

const LEASE_SECONDS = 60
/** Renewed before a write, never by a timer: Functions stop timers. A writer that is idle for a minute may be displaced. */
const RENEW_AFTER_MS = 20_000
const ALL = 2 ** 40

export type ContainerFilesOptions = {
  readonly container: BlobContainer
  /** Of the same container. */
  readonly leases: BlobLeases
  /** For messages. */
  readonly name: string
  /** Before every path: other things live in the container, too. */
  readonly prefix?: string
  readonly renewAfterMs?: number
}

/**
 * An embedded repository in a blob container. Appends are one block each: there or not, never in part, and only at the
 * position that was named, so that a writer which lost its lease and does not know it yet adds nothing behind another's.
 */
export function containerFiles(options: ContainerFilesOptions): EmbeddedFiles {
  const { container, leases, name, prefix = 'embedded/', renewAfterMs = RENEW_AFTER_MS } = options
  const at = (path: string) => `${prefix}${path}`
  const place = `${name}/${prefix}`
  const put = (path: string, body: Uint8Array, etag: string | null) =>
    container.put(at(path), body, {
      condition: etag === null ? { kind: 'absent' } : { kind: 'unchanged', etag },
      contentType: path.endsWith('.json') ? 'application/json' : 'application/octet-stream',
      metadata: {},
    })
  return {
    place,
    async lock(path) {
      // A lease needs a blob; whose it is, is not in it.
      await put(path, new Uint8Array(), null)
      const lease = await leases.acquire(at(path), LEASE_SECONDS)
      if (lease === null) throw taken(place, path)
      return lockOf(lease, renewAfterMs, () => taken(place, path))
    },
    async append(path, body, position) {
      const result = await container.append(at(path), body, { position, contentType: 'application/x-ndjson' })
      return result.appended
    },
    async cut(path, bytes) {
      throw new PermanentError(`${place}${path}: expected whole lines, got something else at byte ${bytes}`)
    },
    create: async (path, body) => (await put(path, body, null)).written,
    async replace(path, body) {
      const etag = (await container.head(at(path)))?.etag ?? null
      if ((await put(path, body, etag)).written) return
      throw new TransientError(`${place}${path}: expected to be the only writer, got a change by another`)
    },
    read: (path, from = 0) => container.range(at(path), from, ALL),
    async list(path) {
      const folder = at(`${path}/`)
      const found: FileFacts[] = []
      for await (const { path: name, bytes } of container.list(folder)) {
        if (!name.slice(folder.length).includes('/')) found.push({ path: name.slice(prefix.length), bytes })
      }
      return found
    },
  }
}

function lockOf(lease: BlobLease, renewAfterMs: number, lost: () => LeaseLostError): WriterLock {
  let renewed = performance.now()
  return {
    async hold() {
      const now = performance.now()
      if (now - renewed < renewAfterMs) return
      if (!(await lease.renew())) throw lost()
      renewed = now
    },
    release: () => lease.release(),
  }
}

function taken(place: string, path: string): LeaseLostError {
  return new LeaseLostError(`${place}${path}: expected to be the only writer, got a lease of another`)
}
