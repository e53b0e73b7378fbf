import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { seededRandom } from '../../jobs/local/providers/seeded-random.ts'
import { newAccountKey, startAzurite } from '../../jobs/local/stack/azurite.ts'
import { startPostgres } from '../../jobs/local/stack/postgres.ts'
import { migrate } from '../../shared/postgres/migrate.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { createCleanRuns, newServices, playOne, seedsOf } from './random-schedules.ts'
import { clearLake } from './random-schedules-clear.ts'
import type { LakeServices } from './random-schedules-lake.ts'

/** Turns of a schedule that see the service gone. */
const TURNS_GONE = 3

/** The same, on a PostgreSQL and an emulator of their own that stop in the middle of each of them. */
export function describeRestarts({ count, file }: { readonly count: number; readonly file: string }): void {
  const seeds = seedsOf(count)

  describe('random schedules in which the storage is stopped or the database killed', () => {
    const environment = useTestEnvironment()
    let stack: Awaited<ReturnType<typeof openStack>>
    beforeAll(async () => {
      stack = await openStack()
    })
    afterAll(() => stack.close())

    test(`${seeds.length} of them end as undisturbed runs do`, async () => {
      const clean = createCleanRuns(() => newServices(environment))
      const failures: string[] = []
      for (const seed of seeds) {
        const before = restartsOf(seed, stack)
        const failure = await playOne({ seed, services: stack.services, was: await clean(seed), before })
        if (failure !== null) failures.push(`TRIBUTARY_SEED=${seed} npx vitest run ${file}\n${failure}`)
        await clearLake(stack.services)
      }
      process.stdout.write(`random schedules with restarts: ${seeds.length}, ${failures.length} failures\n`)
      expect(failures.join('\n\n')).toBe('')
    }, 1_200_000)
  })
}

type Restarts = { readonly stop: (service: 'storage' | 'database') => Promise<() => Promise<void>> }

/** One outage in each schedule, somewhere in its first half. */
function restartsOf(seed: string, { stop }: Restarts) {
  const random = seededRandom(`${seed} restart`)
  const service = random() < 0.5 ? 'storage' : 'database'
  const share = random() / 2
  let start: (() => Promise<void>) | undefined
  let left = -1
  return async (turn: number, turns: number) => {
    if (turn === Math.floor(share * turns)) {
      start = await stop(service)
      left = TURNS_GONE
    }
    if (left-- === 0) await start?.()
    return left >= 0
  }
}

async function openStack() {
  const folder = await mkdtemp(join(tmpdir(), 'tributary-restarts-'))
  // PostgreSQL may have to run as another user than root.
  await chmod(folder, 0o755)
  const account = { name: 'restarted', key: newAccountKey() }
  const storageFolder = join(folder, 'azurite')
  let storage = await startAzurite({ folder: storageFolder, accounts: [account] })
  const { ports } = storage
  let database = await startPostgres({ folder: join(folder, 'postgres'), durable: true })
  const { port } = database
  const services: LakeServices = {
    databaseUrl: database.url('postgres'),
    storageConnectionString: storage.connectionString(account),
  }
  await migrate({ kind: 'url', url: services.databaseUrl })
  return {
    services,
    async stop(service: 'storage' | 'database') {
      if (service === 'storage') {
        await storage.stop()
        return async () => {
          storage = await startAzurite({ folder: storageFolder, accounts: [account], ports })
        }
      }
      process.kill(database.pid, 'SIGKILL')
      await database.ended
      return async () => {
        database = await startPostgres({ folder: join(folder, 'postgres'), durable: true, port })
      }
    },
    async close() {
      await storage.stop()
      await database.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
