import { ContractError, PermanentError, toError } from '../../errors.ts'
import { planRebuilds } from '../../ingest/repair/reprocess-plan.ts'
import { type RebuildResult, workRebuilds } from '../../ingest/repair/reprocess-work.ts'
import type { Platform } from '../../platform.ts'
import { transformVersions } from '../../platform.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import type { Finding } from './finding.ts'
import { restorePages } from './restore-pages.ts'

/** What mends what was found, in the order in which it has to be done. */
export type RepairStep =
  | { readonly kind: 'restore_pages'; readonly sourceIngestId: string; readonly paths: readonly string[] }
  | {
      readonly kind: 'rebuild_partition'
      readonly streamId: number
      readonly dataset: string
      readonly partitionKey: string
    }
  /** Nothing in the lake can mend it. */
  | { readonly kind: 'person'; readonly place: string; readonly advice: string }

/** Rows of pages come first: files are made of what is recorded. */
export function repairPlan(findings: readonly Finding[]): readonly RepairStep[] {
  const pages = new Map<string, string[]>()
  const rebuilds = new Map<string, RepairStep>()
  const people: RepairStep[] = []
  for (const { place, repair, advice } of findings) {
    if (repair?.kind === 'restore_pages') {
      pages.set(repair.sourceIngestId, [...(pages.get(repair.sourceIngestId) ?? []), place])
    } else if (repair?.kind === 'rebuild_partition') {
      rebuilds.set(place, repair)
    } else {
      people.push({ kind: 'person', place, advice: advice ?? 'look at it' })
    }
  }
  const restores = [...pages].map(([sourceIngestId, paths]) => ({
    kind: 'restore_pages' as const,
    sourceIngestId,
    paths,
  }))
  return [...restores, ...rebuilds.values(), ...people]
}

const STREAM: Statement = {
  name: 'stream_to_repair',
  text: `
select source, concat_ws('/', source, dataset, subject, timeframe) as name from ingest.stream where stream_id = $1::bigint`,
}

export type RepairResult = { readonly step: RepairStep; readonly done: boolean; readonly detail: string }

export type RepairOptions = {
  readonly actor: string
  readonly signal: AbortSignal
  readonly onDone: (result: RepairResult) => void
}

/** Does every step that needs no person. What cannot be done says why, and the others go on. */
export async function repair(
  platform: Platform,
  steps: readonly RepairStep[],
  { actor, signal, onDone }: RepairOptions,
): Promise<readonly RepairResult[]> {
  const results: RepairResult[] = []
  for (const step of steps) {
    if (step.kind === 'person') continue
    signal.throwIfAborted()
    const result = await mend(platform, step, { actor, signal }).catch((error: unknown) => {
      if (!(error instanceof PermanentError) && !(error instanceof ContractError)) throw error
      return { step, done: false, detail: toError(error).message }
    })
    results.push(result)
    onDone(result)
  }
  return results
}

async function mend(
  platform: Platform,
  step: Exclude<RepairStep, { kind: 'person' }>,
  { actor, signal }: Pick<RepairOptions, 'actor' | 'signal'>,
): Promise<RepairResult> {
  if (step.kind === 'restore_pages') {
    const restored = await restorePages(platform, { ...step, actor })
    return { step, done: true, detail: `${restored.length} rows of raw pages written again` }
  }
  const { source, name } = await streamOf(platform.db, step.streamId)
  const transformVersion = transformVersions(platform)[source]
  if (transformVersion === undefined) throw new PermanentError(`stream ${name}: expected a known source, got ${source}`)
  const rebuilds = await planRebuilds(platform.db, {
    streamId: step.streamId,
    transformVersion,
    partitions: [{ partitionKey: step.partitionKey, joining: [] }],
    actor,
    audit: { action: 'fsck_repair', subject: name, after: {} },
  })
  const made = await workRebuilds(platform, rebuilds, { signal, onDone: () => undefined })
  return { step, done: made.every(({ state }) => state === 'published'), detail: made.map(describe).join('; ') }
}

async function streamOf(db: Queryable, streamId: number): Promise<{ readonly source: string; readonly name: string }> {
  const [stream] = await db.query<{ source: string; name: string }>(STREAM, [streamId])
  if (stream === undefined) throw new PermanentError(`stream ${streamId}: expected one of this database, got none`)
  return stream
}

function describe({ sourceIngestId, state, error }: RebuildResult): string {
  return `ingest ${sourceIngestId} is ${state}${error === null ? '' : `: ${error}`}`
}
