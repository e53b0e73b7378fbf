import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { seededRandom } from '../../jobs/local/providers/seeded-random.ts'
import { startApplicationProcess } from '../support/application-process.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { type LakeState, lakeState, readLake } from '../support/lake-state.ts'
import { processesBelow } from '../support/process-tree.ts'
import { openWorkbench, type StreamEntry, TWO_YEARS } from '../support/workbench.ts'

const SEED = process.env.TRIBUTARY_TEST_SEED ?? 'killed-application'
const KILLS_PER_DATABASE = 5

// Fifteen windows and 63 files, so that several kills fall into one ingestion.
const STREAMS: readonly StreamEntry[] = ['SPX', 'SPX@a', 'SPX@b'].map((subject) => ({
  ...TWO_YEARS,
  origin: '2000-01-03',
  until: '2020-04-18',
  params: { symbol: 'SPX', timeframe: '1d', subject },
  // A start between two kills would read a few of the newest bars again, or not: their records would be counted twice.
  lookback: '0s',
}))

/** Kills it `kills` times, five times in each database. */
export function describeKills(kills: number): void {
  describe('an application that is killed', () => {
    const environment = useTestEnvironment()
    let folder = ''
    let undisturbed: LakeState
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'tributary-killed-'))
      await writeFile(join(folder, 'streams.json'), JSON.stringify({ streams: STREAMS }))
      const bench = await openWorkbench({ ...(await newServices()), streams: STREAMS })
      await bench.settle()
      undisturbed = await lakeState(bench.platform)
      await bench.close()
    })
    afterAll(() => rm(folder, { recursive: true, force: true }))

    const newServices = async () => ({
      databaseUrl: await environment.newDatabase(),
      storageConnectionString: environment.newStorageAccount(),
    })

    test(`L2: killed at ${kills} seeded moments and started again, it ends with the content of an undisturbed run`, async () => {
      const random = seededRandom(SEED)
      for (let killed = 0; killed < kills; ) {
        const services = await newServices()
        const env = {
          DATABASE_URL: services.databaseUrl,
          AzureWebJobsStorage: services.storageConnectionString,
          TRIBUTARY_DATA_DIR: join(folder, `data-${killed}`),
          TRIBUTARY_STREAMS: join(folder, 'streams.json'),
        }
        for (let here = 0; here < KILLS_PER_DATABASE; here++, killed++) {
          const application = startApplicationProcess(env)
          await application.printed(/functions /)
          await sleep(random() * 600)
          application.child.kill('SIGKILL')
          await application.ended
          await refillBudget(services.databaseUrl)
        }
        const last = startApplicationProcess(env)
        const { code } = await last.ended
        expect(code, `seed ${SEED}\n${last.output()}`).toBe(0)
        const bench = await openWorkbench(services)
        expect(await lakeState(bench.platform), `seed ${SEED}`).toEqual(undisturbed)
        expect(await readLake(bench.platform)).toEqual({ rows: 3 * 5105, duplicateKeys: 0, wrongHashes: [] })
        await bench.close()
      }
    }, 180_000)

    test('the whole stack killed three times, once during its first second, ends with the content of an undisturbed run', async () => {
      const random = seededRandom(`${SEED} stack`)
      const env = { TRIBUTARY_DATA_DIR: join(folder, 'stack'), TRIBUTARY_STREAMS: join(folder, 'streams.json') }
      const moments = [
        async () => sleep(100 + random() * 800),
        async (application: ReturnType<typeof startApplicationProcess>) => {
          await application.printed(/progress /)
          await sleep(random() * 500)
        },
        async (application: ReturnType<typeof startApplicationProcess>) => {
          await application.printed(/functions /)
          await sleep(random() * 500)
        },
      ]
      for (const moment of moments) {
        const application = startApplicationProcess(env)
        await moment(application)
        const servers = hardKillable(application.child.pid as number)
        // In its first second the application may not have come to start them.
        if (moment !== moments[0]) expect(servers.length).toBeGreaterThanOrEqual(2)
        for (const pid of [application.child.pid as number, ...servers]) process.kill(pid, 'SIGKILL')
        await application.ended
      }
      const last = startApplicationProcess(env)
      const { code } = await last.ended
      expect(code, `seed ${SEED}\n${last.output()}`).toBe(0)
      // The report comes from what was published; a second start must find the same and add nothing.
      const again = startApplicationProcess(env)
      expect((await again.ended).code).toBe(0)
      expect(reported(again.output())).toEqual(reported(last.output()))
      expect(reported(last.output())).toEqual(
        STREAMS.map(({ params }) => `alpaca/bars/${(params as { subject: string }).subject}/1d 5,105 21`),
      )
    }, 180_000)
  })
}

/** Every kill wastes requests; to wait for new tokens after each would prove nothing here. */
async function refillBudget(databaseUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  await client.query('update ingest.rate_budget set tokens = capacity')
  await client.end()
}

/** The guard and the PostgreSQL server below a process; the storage emulator is only ever stopped gently. */
function hardKillable(parent: number): readonly number[] {
  return processesBelow(parent)
    .filter(({ command }) => /stack\/guard\.js/.test(command) || /postgres.* -D /.test(command))
    .map(({ pid }) => pid)
}

/** Stream, rows and files of the report's table. */
function reported(output: string): readonly string[] {
  return [...output.matchAll(/^(alpaca\/\S+)\s+([\d,]+)\s+(\d+)\s/gm)].map((match) => match.slice(1, 4).join(' '))
}
