import { describe, expect, test } from 'vitest'
import { expireOwnLeases } from '../../shared/ingest/sweep.ts'
import type { IoOperation } from '../../shared/io-hook.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { createFaultyIo, type FaultKind } from '../support/faulty-io.ts'
import { type LakeState, lakeState, outcomeCounts, readLake } from '../support/lake-state.ts'
import { filesUnlikeTheirRaw } from '../support/rebuilt-files.ts'
import { openWorkbench } from '../support/workbench.ts'

/** The first operations of one undisturbed ingest: plan, land, curate; two partitions. */
const OPERATIONS_MIN = 20
// More only wait for the two cores.
const CASES_AT_ONCE = 3

/** One whole ingest for each fault that `faultsAt` names for each of its operations: none may end differently. */
export function describeCrashes(faultsAt: (at: number) => readonly FaultKind[]): void {
  describe('a crash anywhere in one whole ingest', () => {
    const environment = useTestEnvironment()

    /** One ingest with a fault in it, then a new process that finds what the first one left. */
    const run = async (fault?: { readonly kind: FaultKind; readonly at: number }) => {
      const services = {
        databaseUrl: await environment.newDatabase(),
        storageConnectionString: environment.newStorageAccount(),
      }
      const io = createFaultyIo()
      const first = await openWorkbench({ ...services, hook: io.hook, verify: false })
      io.arm(fault)
      // What throws here is what the host would see: the message stays, or the process is gone.
      await first
        .plan()
        .then(() => first.drain())
        .catch(() => undefined)
      await first.close()

      const second = await openWorkbench(services)
      await expireOwnLeases(second.platform)
      await second.settle()
      const result = {
        state: await lakeState(second.platform),
        counts: await outcomeCounts(second.platform),
        lake: { ...(await readLake(second.platform)), unlikeRaw: await filesUnlikeTheirRaw(second.platform) },
      }
      await second.close()
      return { ...result, operations: io.operations }
    }

    test('I1 nothing lost, I2 nothing doubled, I3 same bytes, I6 counts add up: it ends as the undisturbed run does', async () => {
      const clean = await run()
      expect(clean.operations.length).toBeGreaterThanOrEqual(OPERATIONS_MIN)
      expect(clean.state.records).toBe(500)
      const casesOf = (operation: IoOperation, at: number) => faultsAt(at).map((kind) => ({ kind, at, operation }))
      const cases = clean.operations.flatMap(casesOf)
      const differences: string[] = []
      await eachOf(cases, CASES_AT_ONCE, async ({ kind, at, operation }) => {
        const crashed = await run({ kind, at })
        const place = `${kind} ${at} ${operation.client} ${operation.action} ${operation.subject}`
        differences.push(...differencesOf(crashed, clean).map((difference) => `${place}: ${difference}`))
      })
      process.stdout.write(`crash of one ingest: ${cases.length} cases, ${differences.length} differences\n`)
      expect(differences).toEqual([])
    }, 300_000)
  })
}

type Result = { readonly state: LakeState; readonly counts: unknown; readonly lake: unknown }

function differencesOf(crashed: Result, clean: Result): readonly string[] {
  const differences: string[] = []
  for (const part of ['partitions', 'fetched', 'published', 'records', 'outcomes', 'rejects', 'unfinished'] as const) {
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
