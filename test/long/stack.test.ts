import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { BlobServiceClient } from '@azure/storage-blob'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { newAccountKey, startAzurite } from '../../jobs/local/stack/azurite.ts'
import { startPostgres } from '../../jobs/local/stack/postgres.ts'
import { isRunning } from '../../jobs/local/stack/process-identity.ts'
import { type Stack, startStack } from '../../jobs/local/stack/stack.ts'
import { CancelledError } from '../../shared/errors.ts'

describe('the local stack', () => {
  let dataDir: string
  let lines: string[]
  let stacks: Stack[]
  let applications: ChildProcess[]

  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'tributary stack ü-'))
    lines = []
    stacks = []
    applications = []
  })
  afterEach(async () => {
    for (const application of applications) application.kill('SIGKILL')
    await Promise.all(stacks.map((stack) => stack.stop()))
    const guard = await pidIn('guard.pid').catch(() => undefined)
    if (guard !== undefined) await until(async () => !(await isRunning(guard, 'guard.js')))
    rmSync(dataDir, { recursive: true, force: true, maxRetries: 5 })
  })

  const start = async (folder = dataDir) => {
    const stack = await startStack({ dataDir: folder, log: (line) => lines.push(line) })
    stacks.push(stack)
    return stack
  }
  const startApplication = async () => {
    const application = spawnApplication(dataDir)
    applications.push(application)
    return { application, stack: await untilStarted(application) }
  }

  it('finds the rows and blobs of the last start, below a folder with spaces and letters beyond ASCII', async () => {
    const first = await start()
    await writeMark(first, 'first start')
    await first.stop()
    expect(await readMark(await start())).toEqual({ row: 'first start', blob: 'first start' })
  })

  it('encodes text as UTF-8 and sorts it by bytes under LC_ALL=POSIX, and keeps secrets to itself', async () => {
    const { stack } = await startApplication()
    const rows = await query(
      stack.databaseUrl,
      `select datname, pg_encoding_to_char(encoding) as encoding, datcollate, datctype, '"\\u00e9"'::jsonb #>> '{}' as e
         from pg_database where datname in ('postgres', 'tributary') order by 1`,
    )
    const expected = { encoding: 'UTF8', datcollate: 'C', datctype: 'C', e: 'é' }
    expect(rows).toEqual([
      { datname: 'postgres', ...expected },
      { datname: 'tributary', ...expected },
    ])
    const withoutPassword = stack.databaseUrl.replace(/:[0-9a-f]+@/, ':guess@')
    await expect(query(withoutPassword, 'select 1')).rejects.toThrow('password authentication failed')
  })

  it('keeps a second start waiting, says so, and gives it the data when the first has stopped', async () => {
    const first = await start()
    await writeMark(first, 'of the first')
    const second = start()
    await until(() => lines.some((line) => line.startsWith('waiting for the start before this one to stop')))
    await first.stop()
    expect(await readMark(await second)).toEqual({ row: 'of the first', blob: 'of the first' })
  })

  it('leaves no server behind when the application is killed, and loses nothing', async () => {
    const { application, stack } = await startApplication()
    await writeMark(stack, 'before the kill')
    application.kill('SIGKILL')
    await until(async () => !(await anyListens(stack)))
    expect(await readMark(await start())).toEqual({ row: 'before the kill', blob: 'before the kill' })
  })

  it('leaves no server behind when the guard is killed, tells the application, and loses nothing', async () => {
    const stack = await start()
    await writeMark(stack, 'before the kill')
    process.kill(await pidIn('guard.pid'), 'SIGKILL')
    await until(async () => !(await anyListens(stack)))
    expect(stack.lost.reason).toMatchObject({ message: expect.stringMatching(/guard .* ended with SIGKILL/) })
    expect(await readMark(await start())).toEqual({ row: 'before the kill', blob: 'before the kill' })
  })

  it('stops the emulator and tells the application when PostgreSQL is killed, and recovers at the next start', async () => {
    const stack = await start()
    await writeMark(stack, 'before the kill')
    const pidFile = join(dataDir, 'postgres/cluster/postmaster.pid')
    const [pid, ...rest] = (await readFile(pidFile, 'utf8')).split('\n')
    process.kill(Number(pid), 'SIGKILL')
    await until(() => stack.lost.aborted)
    expect(stack.lost.reason).toMatchObject({ message: expect.stringContaining('postgres') })
    expect(await anyListens(stack)).toBe(false)

    // The number of the dead server belongs to another process now.
    await writeFile(pidFile, [process.pid, ...rest].join('\n'))
    expect(await readMark(await start())).toEqual({ row: 'before the kill', blob: 'before the kill' })
  })

  it('starts after everything was killed while it made the database cluster', async () => {
    const application = spawnApplication(dataDir)
    applications.push(application)
    const unfinished = async () => (await readdir(dataDir)).filter((name) => name.startsWith('postgres.new-'))
    await until(async () => (await unfinished()).length > 0)
    const guard = await pidIn('guard.pid')
    application.kill('SIGKILL')
    // The guard's process group: initdb is in it, the servers are not.
    process.kill(-guard, 'SIGKILL')
    expect(await unfinished()).toHaveLength(1)

    const stack = await start()
    await writeMark(stack, 'whole')
    expect(await readMark(stack)).toEqual({ row: 'whole', blob: 'whole' })
    expect(await unfinished()).toEqual([])
  })

  it('gives up a start that is told to stop, and leaves the folder free', async () => {
    const giveUp = new AbortController()
    const started = startStack({ dataDir, log: () => giveUp.abort(), signal: giveUp.signal })
    await expect(started).rejects.toThrow(CancelledError)
    await start()
    expect(lines).toEqual(['postgres: making a new database cluster'])
  })

  it('runs twice at once in two folders', async () => {
    const [a, b] = await Promise.all([start(join(dataDir, 'a')), start(join(dataDir, 'b'))])
    await Promise.all([writeMark(a, 'of a'), writeMark(b, 'of b')])
    expect(await readMark(a)).toEqual({ row: 'of a', blob: 'of a' })
    expect(await readMark(b)).toEqual({ row: 'of b', blob: 'of b' })
  })

  it('stops servers that were left running in its folder before it starts its own, and loses nothing', async () => {
    const folders = { postgres: join(dataDir, 'postgres'), azurite: join(dataDir, 'azurite') }
    const account = { name: 'left', key: newAccountKey() }
    const startBoth = async () => {
      const postgres = await startPostgres({ folder: folders.postgres, durable: true })
      const azurite = await startAzurite({ folder: folders.azurite, accounts: [account] })
      const stack = {
        databaseUrl: postgres.url('postgres'),
        storageConnectionString: azurite.connectionString(account),
      }
      return { stack, stop: () => Promise.all([postgres.stop(), azurite.stop()]) }
    }
    const left = await startBoth()
    await writeMark(left.stack, 'left running')
    const next = await startBoth()
    expect(await anyListens(left.stack)).toBe(false)
    expect(await readMark(next.stack)).toEqual({ row: 'left running', blob: 'left running' })
    await next.stop()
  })

  it('shows what the server logged when it does not start', async () => {
    const folder = join(dataDir, 'postgres')
    const postgres = await startPostgres({ folder, durable: false })
    await postgres.stop()
    await writeFile(join(folder, 'cluster/PG_VERSION'), '9\n')
    await expect(startPostgres({ folder, durable: false })).rejects.toThrow(
      /database files are incompatible with server/,
    )
  })

  async function pidIn(file: string): Promise<number> {
    return Number(await readFile(join(dataDir, file), 'utf8'))
  }
})

type Addresses = Pick<Stack, 'databaseUrl' | 'storageConnectionString'>

const addresses = z.object({ databaseUrl: z.string(), storageConnectionString: z.string() })

// A process of its own that can be killed; Node 20 runs no TypeScript, so it uses the build.
const APPLICATION = `
  import { startStack } from ${JSON.stringify(new URL('../../dist/jobs/local/stack/stack.js', import.meta.url).href)}
  process.umask(0o077)
  const stack = await startStack({ dataDir: process.argv[1], log: () => undefined })
  console.log(JSON.stringify(stack))
`

function spawnApplication(dataDir: string): ChildProcess {
  return spawn(process.execPath, ['--input-type=module', '--eval', APPLICATION, dataDir], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, LC_ALL: 'POSIX' },
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
  })
}

async function untilStarted(application: ChildProcess): Promise<Addresses> {
  if (application.stdout === null) throw new Error('application: expected a pipe as its standard output, got none')
  const [chunk] = await once(application.stdout, 'data')
  return addresses.parse(JSON.parse(String(chunk)))
}

async function writeMark(stack: Addresses, mark: string): Promise<void> {
  await query(stack.databaseUrl, `create table mark as select '${mark}' as mark`)
  const container = BlobServiceClient.fromConnectionString(stack.storageConnectionString).getContainerClient('marks')
  await container.create()
  await container.getBlockBlobClient('mark').upload(mark, mark.length)
}

async function readMark(stack: Addresses): Promise<{ row: unknown; blob: string }> {
  const [row] = await query(stack.databaseUrl, 'select mark from mark')
  const container = BlobServiceClient.fromConnectionString(stack.storageConnectionString).getContainerClient('marks')
  return { row: row?.mark, blob: String(await container.getBlobClient('mark').downloadToBuffer()) }
}

async function query(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const { rows } = await client.query<Record<string, unknown>>(sql)
    return rows
  } finally {
    await client.end()
  }
}

async function anyListens(stack: Addresses): Promise<boolean> {
  const blobEndpoint = /BlobEndpoint=([^;]+)/.exec(stack.storageConnectionString)?.[1] ?? ''
  const ports = [stack.databaseUrl, blobEndpoint].map((url) => Number(new URL(url).port))
  const answers = await Promise.all(ports.map(listens))
  return answers.includes(true)
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(20)
}
