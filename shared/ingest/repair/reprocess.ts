import { ConfigError } from '../../errors.ts'
import type { Platform } from '../../platform.ts'
import { type RejectChanges, type SettledRejects, settleRejects } from '../../provenance/rejects.ts'
import type { ListedIngest } from '../curate/partition-listing.ts'
import type { SelectedStream } from '../plan/select-streams.ts'
import { comparePartition, type PartitionDifference } from './reprocess-difference.ts'
import type { IngestRejects } from './reprocess-parse.ts'
import { type PlannedRebuild, planRebuilds } from './reprocess-plan.ts'
import { type PartitionsToReprocess, type ReprocessTarget, selectPartitionKeys, targetOf } from './reprocess-target.ts'
import { type RebuildResult, workRebuilds } from './reprocess-work.ts'

/** What making partitions of one stream again would change. Nothing was written. */
export type Preview = {
  readonly target: ReprocessTarget
  /** In path order; also those that were not asked for and get rows that move. */
  readonly partitions: readonly PartitionDifference[]
  readonly rejects: readonly IngestRejects[]
}

export type PreviewOptions = {
  readonly signal: AbortSignal
  readonly onPartition: (difference: PartitionDifference) => void
}

/** Makes the selected partitions of a stream in memory and compares them with what is published. */
export async function previewReprocess(
  platform: Platform,
  stream: SelectedStream,
  selection: PartitionsToReprocess,
  options: PreviewOptions,
): Promise<Preview> {
  const target = targetOf(platform, stream)
  const keys = await selectPartitionKeys(platform.db, target, selection)
  return previewPartitions(platform, target, new Map(keys.map((key) => [key, []])), options)
}

/**
 * The same for partitions by their keys, with ingests that are known to have rows there. A transform may move rows to
 * partitions where their ingest is not listed: those come in too, so that no row is in neither. The list of who joins
 * only grows, so this ends.
 */
export async function previewPartitions(
  platform: Platform,
  target: ReprocessTarget,
  wanted: ReadonlyMap<string, readonly ListedIngest[]>,
  { signal, onPartition }: PreviewOptions,
): Promise<Preview> {
  const joining = new Map([...wanted].map(([key, ingests]) => [key, byId(ingests)]))
  const partitions = new Map<string, PartitionDifference>()
  const rejects = new Map<string, IngestRejects>()
  const waiting = new Set(wanted.keys())
  for (const partitionKey of waiting) {
    signal.throwIfAborted()
    waiting.delete(partitionKey)
    const joins = joining.get(partitionKey) ?? byId([])
    const looked = await comparePartition({ platform, target, partitionKey, joining: [...joins.values()], signal })
    partitions.set(partitionKey, looked.difference)
    for (const ingest of looked.rejects) rejects.set(ingest.sourceIngestId, ingest)
    for (const { partitionKey: key, ingest } of looked.strays) {
      const there = joining.get(key) ?? byId([])
      if (there.has(ingest.sourceIngestId)) continue
      joining.set(key, there.set(ingest.sourceIngestId, ingest))
      waiting.add(key)
    }
    onPartition(looked.difference)
  }
  const inOrder = [...partitions.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
  return { target, partitions: inOrder, rejects: [...rejects.values()] }
}

const byId = (ingests: readonly ListedIngest[]) => new Map(ingests.map((ingest) => [ingest.sourceIngestId, ingest]))

/** Partitions that are to be made again: not those that are already what they would become, or cannot be made. */
export function changesOf({ partitions }: Preview): readonly PartitionDifference[] {
  return partitions.filter(({ same, problem }) => !same && problem === null)
}

/** Nothing would change, in files or in rejects. */
export function changesNothing(preview: Preview): boolean {
  if (changesOf(preview).length > 0) return false
  const { fits, broken } = rejectChanges(preview, new Set())
  return fits.length + broken.length === 0
}

/**
 * Throws ConfigError where it may not be done: the stream is paused, so that nothing is claimed, or the transform would
 * reject more records than a window may, and nobody has accepted that.
 */
export function checkAllowed(previews: readonly Preview[], { acceptRejects }: { acceptRejects: boolean }): void {
  const problems: string[] = []
  for (const preview of previews) {
    const { name, paused, pausedReason } = preview.target.stream
    if (paused && changesOf(preview).length > 0) {
      problems.push(
        `stream ${name}: expected one that is not paused, got "${pausedReason}"; tributary streams resume ${name}`,
      )
    }
    if (acceptRejects) continue
    const over = preview.rejects.flatMap(({ overLimit }) => (overLimit === null ? [] : [overLimit]))
    problems.push(...over.map((problem) => `${problem}; --accept-rejects takes them`))
  }
  if (problems.length > 0) throw new ConfigError(problems)
}

export type RunOptions = {
  readonly actor: string
  /** Of the audit row: `reprocess`, `replay_rejects`. */
  readonly action: string
  readonly signal: AbortSignal
  readonly onDone: (result: RebuildResult) => void
}

export type Reprocessed = { readonly rebuilds: readonly RebuildResult[]; readonly rejects: SettledRejects }

/**
 * Plans what the preview says and works it off, from raw alone: one SourceIngest of lane `reprocess` per partition, the
 * ingests that made it stay as they were. Told to stop it throws CancelledError; what is planned is worked off by the
 * sweep, and a second run finds what is left.
 */
export async function runReprocess(platform: Platform, preview: Preview, options: RunOptions): Promise<Reprocessed> {
  const { signal, onDone, actor } = options
  const rebuilds = await workRebuilds(platform, await planPreview(platform, preview, options), { signal, onDone })
  const made = new Set(rebuilds.filter(({ state }) => state === 'published').map(({ partitionKey }) => partitionKey))
  const subject = preview.target.stream.name
  return { rebuilds, rejects: await settleRejects(platform.db, rejectChanges(preview, made), { subject, actor }) }
}

function planPreview(
  { db }: Platform,
  preview: Preview,
  { actor, action }: RunOptions,
): Promise<readonly PlannedRebuild[]> {
  const { stream, transformVersion } = preview.target
  const newRejects = preview.rejects.reduce((count, { broken }) => count + broken.length, 0)
  return planRebuilds(db, {
    streamId: stream.streamId,
    transformVersion,
    partitions: changesOf(preview),
    actor,
    audit: { action, subject: stream.name, after: { transformVersion, newRejects } },
  })
}

/** Rejects whose records are now in a file, and records that no longer are in one. `made`: keys just published. */
function rejectChanges({ partitions, rejects }: Preview, made: ReadonlySet<string>): RejectChanges {
  const done = new Set([...made, ...partitions.filter(({ same }) => same).map(({ partitionKey }) => partitionKey)])
  const all = partitions.every(({ partitionKey }) => done.has(partitionKey))
  return {
    fits: rejects.flatMap(({ sourceIngestId, fits }) =>
      fits
        .filter(({ partitionKey }) => partitionKey === null || done.has(partitionKey))
        .map(({ pageNo, ordinal }) => ({ sourceIngestId, pageNo, ordinal })),
    ),
    // Nobody knows which file a record that does not fit was in.
    broken: all
      ? rejects.flatMap(({ sourceIngestId, broken }) => broken.map((one) => ({ ...one, sourceIngestId })))
      : [],
  }
}
