import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { Platform } from '../../shared/platform.ts'
import type { Statement } from '../../shared/postgres/database.ts'

const PARTITIONS: Statement = {
  name: 'partitions_to_mirror',
  text: `select path, etag, sha256 from curated.partition order by path`,
}

type Partition = { readonly path: string; readonly etag: string; readonly sha256: string }

export type CuratedMirror = {
  /** The folder that holds the files: what DuckDB, pandas and Spark are pointed at. */
  readonly folder: string
  /** Brings every published partition over; returns how many files were written. */
  readonly update: () => Promise<number>
}

/**
 * Plain copies of the curated files. The emulator keeps extents, not files, so this is what other engines can read
 * locally; the product never reads it. A reader sees the old file or the new one, and a missing one is made again.
 */
export function createCuratedMirror(platform: Platform, dataDir: string): CuratedMirror {
  const folder = join(dataDir, 'lake', 'curated')
  const temporary = join(dataDir, 'lake', '.incoming')
  const mirrored = new Map<string, string>()

  const isCurrent = async ({ path, etag, sha256 }: Partition) => {
    const target = join(folder, path)
    if ((await stat(target).catch(() => null)) === null) return false
    if (mirrored.get(path) === etag) return true
    if ((await sha256OfFile(target)) !== sha256) return false
    mirrored.set(path, etag)
    return true
  }

  const copy = async ({ path, etag }: Partition) => {
    const blob = await platform.curated.get(path)
    // Written again since it was published, or removed: the next publish names what to copy.
    if (blob === null || blob.etag !== etag) return false
    const target = join(folder, path)
    await mkdir(dirname(target), { recursive: true })
    const beside = join(temporary, `${process.pid}.parquet`)
    const file = await open(beside, 'w')
    try {
      await file.writeFile(blob.body)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(beside, target)
    mirrored.set(path, etag)
    return true
  }

  return {
    folder,
    async update() {
      await mkdir(temporary, { recursive: true })
      let written = 0
      for (const partition of await platform.db.query<Partition>(PARTITIONS)) {
        if (!(await isCurrent(partition)) && (await copy(partition))) written++
      }
      await rm(temporary, { recursive: true, force: true })
      return written
    },
  }
}

async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}
