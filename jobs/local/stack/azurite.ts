import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { ConfigError } from '../../../shared/errors.ts'
import { stopOrphan } from './orphan.ts'
import {
  type ServerProcess,
  serverEnvironment,
  startServerProcess,
  stopServerProcess,
  untilReady,
} from './server-process.ts'

export type AzuritePorts = { readonly blob: number; readonly queue: number; readonly table: number }

/** `key` is base64, as in a connection string. */
export type AzuriteAccount = { readonly name: string; readonly key: string }

export type AzuriteOptions = {
  /** Made when missing. One owner at a time: hold the lock on the data folder. */
  readonly folder: string
  readonly accounts: readonly AzuriteAccount[]
  /** Undefined: any free ones. */
  readonly ports?: AzuritePorts
  readonly signal?: AbortSignal | undefined
}

export type Azurite = {
  readonly pid: number
  readonly ports: AzuritePorts
  /** Resolves when the emulator is gone, with how it ended and the end of its log. */
  readonly ended: Promise<string>
  readonly connectionString: (account: AzuriteAccount) => string
  /** Gentle only: killed, the emulator loses up to five seconds of writes that it has acknowledged. */
  readonly stop: () => Promise<void>
}

const HOST = '127.0.0.1'
const ANY_PORTS: AzuritePorts = { blob: 0, queue: 0, table: 0 }

export function newAccountKey(): string {
  return randomBytes(64).toString('base64')
}

/** Starts the emulator on loopback in its own process and resolves when all three services answer. */
export async function startAzurite(options: AzuriteOptions): Promise<Azurite> {
  const { folder, accounts, ports = ANY_PORTS, signal } = options
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const pidFile = join(folder, 'azurite.pid')
  await stopLeftBehind(pidFile, folder)
  const server = await startServerProcess({
    name: 'azurite',
    command: process.execPath,
    args: [findAzurite(), ...emulatorArguments(folder, ports)],
    env: serverEnvironment({ AZURITE_ACCOUNTS: accounts.map(({ name, key }) => `${name}:${key}`).join(';') }),
    logFile: join(folder, 'azurite.log'),
    stopSignal: 'SIGTERM',
  })
  try {
    await writeFile(pidFile, `${server.pid}\n`, { mode: 0o600 })
    const got = await untilReady(server, () => portsListening(server), signal)
    return running(server, got, pidFile)
  } catch (error) {
    await stop(server)
    throw error
  }
}

function findAzurite(): string {
  try {
    return createRequire(import.meta.url).resolve('azurite/dist/src/azurite.js')
  } catch (cause) {
    throw new ConfigError(
      [
        'azurite: expected the package azurite, got none; run npm ci with development packages, or set AzureWebJobsStorage',
      ],
      { cause },
    )
  }
}

function emulatorArguments(folder: string, ports: AzuritePorts): readonly string[] {
  return [
    ...['--location', folder, '--silent', '--disableTelemetry', '--skipApiVersionCheck'],
    ...['--blobHost', HOST, '--queueHost', HOST, '--tableHost', HOST],
    ...['--blobPort', String(ports.blob), '--queuePort', String(ports.queue), '--tablePort', String(ports.table)],
  ]
}

/** With port 0 the emulator says only in its output which port it got, and that it listens there. */
async function portsListening(server: ServerProcess): Promise<AzuritePorts | undefined> {
  const found = new Map<string, number>()
  for (const match of server
    .log()
    .matchAll(/Azurite (\w+) service is successfully listening at http:\/\/[^:]+:(\d+)/g)) {
    found.set(match[1] as string, Number(match[2]))
  }
  const [blob, queue, table] = ['Blob', 'Queue', 'Table'].map((service) => found.get(service))
  return blob !== undefined && queue !== undefined && table !== undefined ? { blob, queue, table } : undefined
}

function running(server: ServerProcess, ports: AzuritePorts, pidFile: string): Azurite {
  return {
    pid: server.pid,
    ports,
    ended: server.ended,
    connectionString: (account) => azuriteConnectionString(account, ports),
    async stop() {
      await stop(server)
      await rm(pidFile, { force: true })
    },
  }
}

export function azuriteConnectionString({ name, key }: AzuriteAccount, ports: AzuritePorts): string {
  const endpoint = (port: number) => `http://${HOST}:${port}/${name}`
  return [
    `DefaultEndpointsProtocol=http;AccountName=${name};AccountKey=${key}`,
    `BlobEndpoint=${endpoint(ports.blob)}`,
    `QueueEndpoint=${endpoint(ports.queue)}`,
    `TableEndpoint=${endpoint(ports.table)}`,
  ].join(';')
}

function stop(server: ServerProcess): Promise<void> {
  return stopServerProcess(server, [{ signal: 'SIGTERM', waitMs: 30_000 }])
}

async function stopLeftBehind(pidFile: string, folder: string): Promise<void> {
  const pid = Number(await readFile(pidFile, 'utf8').catch(() => ''))
  if (pid > 0) await stopOrphan('azurite', pid, folder, 'SIGTERM')
}
