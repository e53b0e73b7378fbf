import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { z } from 'zod'
import { land, type Worked } from '../../shared/ingest/work.ts'
import type { Platform } from '../../shared/platform.ts'
import type { Budget } from '../../shared/sources/contract.ts'

const LANDER = new URL('./shared-quota-lander.mjs', import.meta.url).pathname
const DEADLINE_MS = 60_000

/** What a process is to land, and under which quota. */
export type LanderJob = {
  readonly sourceId: string
  readonly budget: Budget
  readonly sourceIngestIds: readonly string[]
  readonly atOnce: number
}

const lander = z.object({ worked: z.array(z.string()), waits: z.number() })

/** Lands them in a process of its own; resolves when it has ended. */
export async function runLander(job: LanderJob, env: Readonly<Record<string, string>>) {
  const options = { env, timeout: DEADLINE_MS }
  const { stdout } = await promisify(execFile)(process.execPath, [LANDER, JSON.stringify(job)], options)
  return lander.parse(JSON.parse(stdout))
}

/** Both instances land from one list, four windows at once each. */
export function startBackfill(instances: readonly Platform[], ids: readonly string[]) {
  const stop = new AbortController()
  const left = [...ids]
  let working = true
  const work = async (platform: Platform) => {
    for (let id = left.shift(); id !== undefined && !stop.signal.aborted; id = left.shift()) {
      await landAt(platform, id, DEADLINE_MS, stop.signal)
    }
  }
  const workers = instances.flatMap((platform) => Array.from({ length: 4 }, () => work(platform)))
  const done = Promise.all(workers).finally(() => {
    working = false
  })
  return {
    done,
    isWorking: () => working,
    async stop() {
      stop.abort()
      await done
    },
  }
}

export function landAt(
  platform: Platform,
  sourceIngestId: string,
  waitMsMax = 1_000,
  stop = new AbortController().signal,
): Promise<Worked> {
  return land(platform, { v: 1, sourceIngestId }, { stop, deadlineMs: DEADLINE_MS, waitMsMax })
}

/** A window without a session is empty. */
export function isLanded(worked: string): boolean {
  return worked === 'landed' || worked === 'empty'
}

export function alpacaAt(url: string) {
  return { ALPACA_BASE_URL: url, ALPACA_KEY_ID: 'test-key-id', ALPACA_SECRET_KEY: 'test-secret-key' }
}

export function servicesOf({ settings: { database, hostStorage } }: Platform) {
  if (database.kind !== 'url' || hostStorage.kind !== 'connection-string') {
    throw new Error(
      `test services: expected a url and a connection string, got ${database.kind} and ${hostStorage.kind}`,
    )
  }
  return { DATABASE_URL: database.url, AzureWebJobsStorage: hostStorage.connectionString }
}
