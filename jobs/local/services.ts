import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { isRunning } from './stack/process-identity.ts'

/**
 * Where the services of a data folder are while `npm start` runs them: `services.json` in that folder, so that the
 * command line finds them. It holds the passwords of local servers, so only its owner may read it.
 */
type Announcement = {
  readonly pid: number
  /** The file's name alone: a command line may have it by any path. */
  readonly script: string
  readonly settings: Readonly<Record<string, string>>
}

const FILE = 'services.json'

/** Returns what takes the announcement back. */
export async function announceServices(
  dataDir: string,
  settings: Readonly<Record<string, string>>,
): Promise<() => Promise<void>> {
  const path = join(dataDir, FILE)
  const announcement: Announcement = { pid: process.pid, script: basename(process.argv[1] ?? ''), settings }
  await writeFile(`${path}.new`, JSON.stringify(announcement), { mode: 0o600 })
  await rename(`${path}.new`, path)
  return () => rm(path, { force: true })
}

/** The settings that reach the services of a data folder; null where nothing runs there. */
export async function findServices(dataDir: string): Promise<Readonly<Record<string, string>> | null> {
  const text = await readFile(join(dataDir, FILE), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw error
  })
  if (text === null) return null
  const { pid, script, settings } = JSON.parse(text) as Announcement
  // A start that was killed leaves its announcement behind.
  return (await isRunning(pid, script)) ? settings : null
}
