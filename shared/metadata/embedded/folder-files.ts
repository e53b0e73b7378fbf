import { type FileHandle, mkdir, open, readdir, rename, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { EmbeddedFiles, FileFacts } from './files.ts'
import { lockFolder } from './folder-lock.ts'
import { codeOf } from './system-error.ts'

/** An embedded repository in a folder, which is made where it is missing. */
export function folderFiles(folder: string): EmbeddedFiles {
  const at = (path: string) => join(folder, ...path.split('/'))
  const made = new Set<string>()
  const ensureFolder = async (path: string) => {
    if (made.has(path)) return
    // The names of new folders stand in the ones above them.
    const first = await mkdir(path, { recursive: true })
    for (let above = path; first !== undefined && above.length >= first.length; above = dirname(above)) {
      await syncFolder(dirname(above))
    }
    if (made.size >= FOLDERS_REMEMBERED_MAX) made.clear()
    made.add(path)
  }
  return {
    place: folder,
    async lock(path) {
      await ensureFolder(dirname(at(path)))
      return lockFolder(at(path))
    },
    async append(path, body, position) {
      await ensureFolder(dirname(at(path)))
      return withFile(at(path), 'a', async (file) => {
        if ((await file.stat()).size !== position) return false
        try {
          await file.writeFile(body)
          await file.sync()
        } catch (error) {
          // What the disk did not take must not look like something that it has.
          await file.truncate(position).catch(() => undefined)
          throw error
        }
        if (position === 0) await syncFolder(dirname(at(path)))
        return true
      })
    },
    cut: (path, bytes) =>
      withFile(at(path), 'r+', async (file) => {
        await file.truncate(bytes)
        await file.sync()
      }),
    async create(path, body) {
      await ensureFolder(dirname(at(path)))
      try {
        await withFile(at(path), 'wx', (file) => writeAll(file, body))
      } catch (error) {
        if (codeOf(error) === 'EEXIST') return false
        throw error
      }
      await syncFolder(dirname(at(path)))
      return true
    },
    async replace(path, body) {
      await ensureFolder(dirname(at(path)))
      const beside = `${at(path)}.new`
      await withFile(beside, 'w', (file) => writeAll(file, body))
      await rename(beside, at(path))
      await syncFolder(dirname(at(path)))
    },
    read: (path, from = 0) => unlessAbsent(() => withFile(at(path), 'r', (file) => readFrom(file, from))),
    list: async (path) => (await unlessAbsent(() => filesIn(at(path), path))) ?? [],
  }
}

const FOLDERS_REMEMBERED_MAX = 10_000

async function withFile<T>(path: string, flags: string, work: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await open(path, flags)
  try {
    return await work(file)
  } finally {
    await file.close()
  }
}

async function writeAll(file: FileHandle, body: Uint8Array): Promise<void> {
  await file.writeFile(body)
  await file.sync()
}

async function readFrom(file: FileHandle, from: number): Promise<Uint8Array> {
  const body = Buffer.alloc(Math.max(0, (await file.stat()).size - from))
  let done = 0
  while (done < body.byteLength) {
    const { bytesRead } = await file.read(body, done, body.byteLength - done, from + done)
    if (bytesRead === 0) break
    done += bytesRead
  }
  return body.subarray(0, done)
}

async function filesIn(folder: string, path: string): Promise<readonly FileFacts[]> {
  const names = (await readdir(folder, { withFileTypes: true })).filter((item) => item.isFile())
  const sorted = names.map(({ name }) => name).sort()
  return Promise.all(
    sorted.map(async (name) => ({ path: `${path}/${name}`, bytes: (await stat(join(folder, name))).size })),
  )
}

async function unlessAbsent<T>(work: () => Promise<T>): Promise<T | null> {
  try {
    return await work()
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null
    throw error
  }
}

/** A new name is durable only with its folder. Windows opens no folders, and needs none of it. */
async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return
  await withFile(path, 'r', (file) => file.sync())
}
