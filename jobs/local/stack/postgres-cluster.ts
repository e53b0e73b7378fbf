import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmod, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { toError } from '../../../shared/errors.ts'
import type { PostgresBinaries, PostgresIdentity } from './postgres-binaries.ts'
import { serverEnvironment } from './server-process.ts'

const run = promisify(execFile)

export const POSTGRES_USER = 'tributary'

export type ClusterRequest = {
  /** Becomes `<folder>/cluster`, `<folder>/password` and `<folder>/postgres.log`. */
  readonly folder: string
  readonly binaries: PostgresBinaries
  readonly identity: PostgresIdentity
  readonly durable: boolean
  readonly signal: AbortSignal | undefined
  readonly log: (line: string) => void
}

/**
 * Makes the cluster when there is none. It is made beside its place and renamed when it is whole, so a killed initdb
 * leaves only a folder that the next start removes. Call it only while holding the lock on the data folder.
 */
export async function ensureCluster(request: ClusterRequest): Promise<{ readonly password: string }> {
  const { folder, identity } = request
  await removeUnfinished(folder)
  if (!(await exists(folder))) await makeCluster(request)
  else if (identity.uid !== undefined) await giveTo(identity.uid, folder)
  return { password: (await readFile(join(folder, 'password'), 'utf8')).trim() }
}

async function makeCluster(request: ClusterRequest): Promise<void> {
  const { folder, binaries, identity, durable, signal, log } = request
  log('postgres: making a new database cluster')
  const unfinished = `${folder}.new-${randomBytes(6).toString('hex')}`
  await mkdir(unfinished, { mode: 0o700 })
  const passwordFile = join(unfinished, 'password')
  await writeFile(passwordFile, `${randomBytes(24).toString('hex')}\n`, { mode: 0o600 })
  if (identity.uid !== undefined) await giveTo(identity.uid, unfinished)
  const [command = binaries.initdb, ...args] = [
    ...identity.prefix,
    binaries.initdb,
    // Always said: under LC_ALL=POSIX the cluster would be SQL_ASCII, and "\u00e9"::jsonb fails there.
    ...['--encoding=UTF8', '--locale=C', '--auth=scram-sha-256', `--username=${POSTGRES_USER}`],
    ...[`--pwfile=${passwordFile}`, '--no-instructions', ...(durable ? [] : ['--no-sync'])],
    ...['-D', join(unfinished, 'cluster')],
  ]
  try {
    await run(command, args, { env: serverEnvironment(), cwd: '/', ...(signal && { signal }) })
  } catch (error) {
    throw new Error(`postgres: initdb failed: ${toError(error).message}`, { cause: error })
  }
  await rename(unfinished, folder)
}

async function removeUnfinished(folder: string): Promise<void> {
  const prefix = `${basename(folder)}.new-`
  for (const name of await readdir(dirname(folder))) {
    if (!name.startsWith(prefix)) continue
    // An initdb whose guard was killed may still be writing into it for a moment; then a later start removes it.
    await rm(join(dirname(folder), name), { recursive: true, force: true, maxRetries: 3 }).catch(() => undefined)
  }
}

/** The same data folder may have been used by root in a namespace and by user 65534 in a container, or the reverse. */
async function giveTo(uid: number, folder: string): Promise<void> {
  if ((await stat(folder)).uid === uid) return
  await run('chown', ['-R', `${uid}:${uid}`, folder])
  await chmod(folder, 0o700)
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
