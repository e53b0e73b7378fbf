import { describe, expect, test } from 'vitest'
import { expireOwnLeases } from '../../shared/ingest/sweep.ts'
import type { IoHook, IoOperation } from '../../shared/io-hook.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { createFaultyIo, type FaultKind } from '../support/faulty-io.ts'
import { type LakeState, lakeState, outcomeCounts, readLake } from '../support/lake-state.ts'
import { filesUnlikeTheirRaw } from '../support/rebuilt-files.ts'
import type { Workbench } from '../support/workbench.ts'

// More only wait for the two cores.
const CASES_AT_ONCE = 3

type Services = { readonly databaseUrl: string; readonly storageConnectionString: string }

/** What is done under faults, and how a new process goes on from what it finds. */
export type Scenario = {
  readonly name: string
  /** Fewer operations or other records than these in the undisturbed run: the scenario does not do what it says. */
  readonly operationsMin: number
  readonly records: number
  readonly open: (services: Services & { readonly hook?: IoHook; readonly verify?: false }) => Promise<Actor>
}

export type Actor = {
  readonly bench: Workbench
  /** What is there already, undisturbed. */
  readonly prepare: () => Promise<void>
  /** What the faults are for. May throw: then the message stays, or the process is gone. */
  readonly act: () => Promise<void>
  /** The same again, by a process that knows nothing of the first, until nothing is left to do. */
  readonly recover: () => Promise<void>
}

/** The scenario once for each fault that `faultsAt` names for each of its operations: none may end differently. */
export function describeCrashes(scenario: Scenario, faultsAt: (at: number) => readonly FaultKind[]): void {
  describe(`a crash anywhere in ${scenario.name}`, () => {
    const environment = useTestEnvironment()

    const run = async (fault?: { readonly kind: FaultKind; readonly at: number }) => {
      const services = {
        databaseUrl: await environment.newDatabase(),
        storageConnectionString: environment.newStorageAccount(),
      }
      const io = createFaultyIo()
      const first = await scenario.open({ ...services, hook: io.hook, verify: false })
      await first.prepare()
      io.arm(fault)
      await first.act().catch(() => undefined)
      await first.bench.close()

      const second = await scenario.open(services)
      await expireOwnLeases(second.bench.platform)
      await second.recover()
      const { platform } = second.bench
      const result = {
        state: await lakeState(platform),
        counts: await outcomeCounts(platform),
        lake: { ...(await readLake(platform)), unlikeRaw: await filesUnlikeTheirRaw(platform) },
      }
      await second.bench.close()
      return { ...result, operations: io.operations }
    }

    test('I1 nothing lost, I2 nothing doubled, I3 same bytes, I6 counts add up: it ends as the undisturbed run does', async () => {
      const clean = await run()
      expect(clean.operations.length).toBeGreaterThanOrEqual(scenario.operationsMin)
      expect(clean.state.records).toBe(scenario.records)
      const casesOf = (operation: IoOperation, at: number) => faultsAt(at).map((kind) => ({ kind, at, operation }))
      const cases = clean.operations.flatMap(casesOf)
      const differences: string[] = []
      await eachOf(cases, CASES_AT_ONCE, async ({ kind, at, operation }) => {
        const crashed = await run({ kind, at })
        const place = `${kind} ${at} ${operation.client} ${operation.action} ${operation.subject}`
        differences.push(...differencesOf(crashed, clean).map((difference) => `${place}: ${difference}`))
      })
      process.stdout.write(
        `crash matrix of ${scenario.name}: ${cases.length} cases, ${differences.length} differences\n`,
      )
      expect(differences).toEqual([])
    }, 300_000)
  })
}

type Result = { readonly state: LakeState; readonly counts: unknown; readonly lake: unknown }

function differencesOf(crashed: Result, clean: Result): readonly string[] {
  const differences: string[] = []
  for (const part of [
    'partitions',
    'fetched',
    'published',
    'records',
    'outcomes',
    'rejects',
    'told',
    'unfinished',
  ] as const) {
    const [is, was] = [JSON.stringify(crashed.state[part]), JSON.stringify(clean.state[part])]
    if (is !== was) differences.push(`${part} ${is} instead of ${was}`)
  }
  for (const part of ['counts', 'lake'] as const) {
    const [is, was] = [JSON.stringify(crashed[part]), JSON.stringify(clean[part])]
    if (is !== was) differences.push(`${part} ${is} instead of ${was}`)
  }
  return differences
}

/** Works through `items`, at most `atOnce` at a time. */
async function eachOf<T>(items: readonly T[], atOnce: number, work: (item: T) => Promise<void>): Promise<void> {
  const rest = [...items]
  const worker = async () => {
    for (let item = rest.shift(); item !== undefined; item = rest.shift()) await work(item)
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
}
