import { openContainer } from '../azure/blobs.ts'
import { toError } from '../errors.ts'
import { systemNow } from '../instant.ts'
import { withoutHook } from '../io-hook.ts'
import { sweepTokenBudgets } from '../metadata/access/budget.ts'
import { collectCatalog } from '../metadata/producers/catalog.ts'
import { collectPostgresCatalog } from '../metadata/producers/catalog-postgres.ts'
import { compactMetadata } from '../metadata/retention/compact.ts'
import { archiveRawPages } from '../metadata/retention/raw-retention.ts'
import { forgetOldRollups } from '../metadata/rollup/consumer.ts'
import type { Platform } from '../platform.ts'
import { withPipelineRun } from './pipeline-run.ts'

const OWN_SCHEMAS = ['ingest', 'provenance', 'curated', 'ops']

type Step = { readonly name: string; readonly work: () => Promise<unknown> }

export type NightlyOptions = { readonly actor: string; readonly stop: AbortSignal }

/** What every step came to, or why it failed. */
export type NightlyResult = readonly { readonly step: string; readonly result?: unknown; readonly error?: Error }[]

/**
 * What is done once a day: tells of every target what it is, moves metadata records that are no longer hot into files,
 * and raw pages that are older than their retention to the archive. Safe to repeat and to be killed anywhere. A step
 * that fails stops no other; the run fails once all are through.
 */
export async function runNightly(platform: Platform, options: NightlyOptions): Promise<NightlyResult> {
  return withPipelineRun(platform, 'nightly', async ({ log }) => {
    const results: { step: string; result?: unknown; error?: Error }[] = []
    for (const { name, work } of stepsOf({ ...platform, log }, options)) {
      if (options.stop.aborted) break
      try {
        const result = await work()
        results.push({ step: name, result })
        log.info('nightly_step', { step: name, result })
      } catch (thrown) {
        const error = toError(thrown)
        results.push({ step: name, error })
        log.error('nightly_step_failed', { step: name, error })
      }
    }
    await platform.bus.announce()
    const failed = results.flatMap(({ step, error }) => (error === undefined ? [] : [`${step}: ${error.message}`]))
    if (failed.length > 0) throw new Error(`nightly: expected every step to end well, got ${failed.join('; ')}`)
    return results
  })
}

async function collectTheCatalog(platform: Platform, stop: AbortSignal): Promise<unknown> {
  const repository = await platform.metadata.repository()
  return collectCatalog(platform, { now: systemNow(), repository, stop })
}

/** The tables that the platform works on are data too: how much they hold, and whether they are what a migration made. */
async function collectOwnTables({ db, metadata, log }: Platform, stop: AbortSignal): Promise<readonly unknown[]> {
  const options = { now: systemNow(), repository: await metadata.repository(), log, stop }
  const collected: unknown[] = []
  for (const schema of OWN_SCHEMAS) {
    collected.push({ schema, ...(await collectPostgresCatalog({ db, sourceId: 'tributary', schema }, options)) })
  }
  return collected
}

function stepsOf(platform: Platform, { actor, stop }: NightlyOptions): readonly Step[] {
  const { settings, metadata, log } = platform
  const steps: Step[] = [
    { name: 'catalog', work: () => collectTheCatalog(platform, stop) },
    { name: 'catalog of postgres', work: () => collectOwnTables(platform, stop) },
  ]
  const container = (name: string) =>
    openContainer({ account: settings.lakeStorage, container: name, hook: withoutHook })
  const { store } = metadata
  if (store !== null) {
    const { db } = store
    const files = container('metadata')
    const compact = async () => {
      // Kinds that others registered leave the table, too.
      await metadata.kinds.reload()
      return compactMetadata({ db, files, kinds: metadata.kinds.known(), log, stop })
    }
    steps.push(
      { name: 'compaction', work: compact },
      { name: 'rollups', work: () => forgetOldRollups(db, systemNow()) },
      { name: 'token budgets', work: () => sweepTokenBudgets(db) },
    )
  }
  const { rawRetentionDays } = settings
  if (rawRetentionDays.size > 0) {
    const places = { raw: container('raw'), archive: container('archive') }
    steps.push({
      name: 'raw retention',
      work: () => archiveRawPages({ db: platform.db, ...places, rawRetentionDays, actor, log, stop }),
    })
  }
  return steps
}
