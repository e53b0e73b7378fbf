import { LeaseLostError } from '../../../shared/errors.ts'
import { ACTIVE_STATES, type Event, type State, TRANSITIONS } from '../../../shared/ingest/state/state-machine.ts'
import { assertFencedChangedNothing, assertLanded, assertMayAsk, assertPublished } from './oracle.ts'
import { planRebuild } from './plan.ts'
import type { Counts, Parsed } from './records.ts'
import { type Ingest, ingestOf, isCurrent, type Listed, listKey, type PartitionRow, type World } from './world.ts'

/** The transactions of a worker that holds an ingest: each is one function, atomic, guarded by the epoch. */

export type Claim = {
  readonly id: number
  readonly epoch: number
  readonly claimedAt: number
  readonly transformVersion: number
}

const ATTEMPTS_MAX = 4

export function isActive(state: State): boolean {
  return ACTIVE_STATES.includes(state)
}

/** Moves the ingest as the product's table says; false where the table refuses. */
export function move(ingest: Ingest, event: Event): boolean {
  const next = TRANSITIONS[ingest.kind][ingest.state][event]
  if (next === null) return false
  ingest.state = next
  return true
}

export function claim(
  world: World,
  id: number,
  event: 'claimToLand' | 'claimToCurate',
  transformVersion: number,
): Claim | null {
  const ingest = ingestOf(world, id)
  if (ingest.waiting || !isCurrent(ingest)) return null
  if (ingest.transformVersion > transformVersion && world.without !== 'old workers refuse') return null
  if (event === 'claimToCurate' && world.postgres.held && ingest.kind === 'fetch') return null
  if (!move(ingest, event)) return null
  if (event === 'claimToLand') assertMayAsk(world, ingest)
  else ingest.transformVersion = transformVersion
  ingest.epoch++
  ingest.attempts++
  ingest.leaseExpired = false
  world.clock += 10
  return { id, epoch: ingest.epoch, claimedAt: world.clock, transformVersion }
}

/** Runs one guarded statement, and asks the oracle that it changed nothing if the claim is no longer good (I5). */
function guarded<T>(world: World, { id, epoch }: Claim, statement: (ingest: Ingest) => T): T {
  const ingest = ingestOf(world, id)
  const holds = ingest.epoch === epoch && (ingest.state === 'landing' || ingest.state === 'curating')
  return holds ? statement(ingest) : assertFencedChangedNothing(world, id, () => statement(ingest))
}

/** `event` is one that the row's state allows, and the row is still of this epoch. */
function isMine(world: World, claim: Claim, ingest: Ingest, event: Event): boolean {
  const sameEpoch = ingest.epoch === claim.epoch || world.without === 'epoch guard of state changes'
  return sameEpoch && TRANSITIONS[ingest.kind][ingest.state][event] !== null
}

function leaseLost(claim: Claim): LeaseLostError {
  return new LeaseLostError(`ingest ${claim.id}: epoch ${claim.epoch} is no longer mine`)
}

export function recordPage(
  world: World,
  claim: Claim,
  page: { pageNo: number; path: string; observedAt: number },
): void {
  guarded(world, claim, (ingest) => {
    if (!isMine(world, claim, ingest, 'land')) throw leaseLost(claim)
    world.postgres.rawPages.push({ ingest: claim.id, epoch: claim.epoch, ...page })
  })
}

export function land(world: World, claim: Claim): void {
  const { postgres } = world
  guarded(world, claim, (ingest) => {
    if (!isMine(world, claim, ingest, 'land')) throw leaseLost(claim)
    const pages = postgres.rawPages.filter((row) => row.ingest === claim.id && row.epoch === claim.epoch)
    ingest.records = pages.reduce((sum, { path }) => sum + (world.raw.get(path)?.records.length ?? 0), 0)
    move(ingest, ingest.records === 0 ? 'landEmpty' : 'land')
    ingest.landedEpoch = claim.epoch
    ingest.attempts = 0
    ingest.queued = 'fresh'
    cover(postgres.fetched, ingest)
    if (ingest.state === 'empty') cover(postgres.published, ingest)
    if (world.guardAlarmed) postgres.held = true
    world.guardAlarmed = false
    assertLanded(world, ingest)
  })
}

function cover(coverage: boolean[], { lo, hi }: Ingest): void {
  if (lo !== null && hi !== null) coverage.fill(true, lo, hi)
}

export type Listing = {
  /** Other current ingests whose rows may be in the partition. */
  readonly others: readonly Listed[]
  readonly blobVersion: number
}

const NOT_COUNTED = { inserted: 0, updated: 0, unchanged: 0, superseded: 0 }

/** `counts` null: whose rows may be in the file is known, what they do there is not yet. */
export function listInPartition(
  world: World,
  claim: Claim,
  request: { readonly partition: number; readonly counts: Counts | null; readonly keepCounts: boolean },
): Listing {
  const { partition, counts, keepCounts } = request
  const { listed } = world.postgres
  return guarded(world, claim, (ingest) => {
    const mine = isMine(world, claim, ingest, 'publish') && ingest.epoch === claim.epoch
    if (!mine && world.without !== 'epoch guard before the put') throw leaseLost(claim)
    const key = listKey(claim.id, partition)
    const stored = listed.get(key)
    const kept =
      keepCounts && stored?.transformVersion === claim.transformVersion && world.without !== 'counts are kept'
    if (mine && ingest.landedEpoch !== null && !kept) {
      const uncounted = counts === null && world.without !== 'listed is not counted'
      listed.set(key, {
        ingest: claim.id,
        partition,
        landedEpoch: ingest.landedEpoch,
        transformVersion: uncounted ? 0 : claim.transformVersion,
        counts: counts ?? NOT_COUNTED,
      })
    }
    return readListing(world, claim.id, partition)
  })
}

/** What a rebuild reads: guarded too, so that a fenced one ends here. */
export function readListingGuarded(world: World, claim: Claim, partition: number): Listing {
  return guarded(world, claim, (ingest) => {
    if (!isMine(world, claim, ingest, 'publish') && world.without !== 'epoch guard before the put')
      throw leaseLost(claim)
    return readListing(world, claim.id, partition)
  })
}

function readListing(world: World, id: number, partition: number): Listing {
  const others = [...world.postgres.listed.values()].filter((row) => {
    const ingest = ingestOf(world, row.ingest)
    const leftOut = world.without === 'rebuild keeps the unpublished' && ingest.state !== 'published'
    return row.partition === partition && row.ingest !== id && isCurrent(ingest) && !leftOut
  })
  return { others, blobVersion: world.postgres.partitions[partition]?.blobVersion ?? 0 }
}

export type Written = PartitionRow & { readonly partition: number }

export function publish(world: World, claim: Claim, parsed: Parsed | null, written: readonly Written[]): void {
  const { postgres } = world
  guarded(world, claim, (ingest) => {
    if (!isMine(world, claim, ingest, 'publish')) throw leaseLost(claim)
    if (parsed !== null) assertPublished(world, claim, parsed, written)
    move(ingest, 'publish')
    ingest.attempts = 0
    cover(postgres.published, ingest)
    for (const { partition, ...row } of written) {
      if ((postgres.partitions[partition]?.blobVersion ?? 0) < row.blobVersion) postgres.partitions[partition] = row
    }
    if (ingest.file !== null) markOlder(world, ingest.id, ingest.file)
  })
}

function markOlder(
  world: World,
  by: number,
  { name, version }: { readonly name: number; readonly version: number },
): void {
  const older = world.postgres.ingests.filter(({ file }) => file?.name === name && file.version < version)
  markLeftOut(world, older, (ingest) => {
    ingest.supersededBy ??= by
  })
}

/** Under the stream's lock: nobody is current, active or in a file without a rebuild to come, all at once. */
export function markLeftOut(world: World, ingests: readonly Ingest[], mark: (ingest: Ingest) => void): void {
  const partitions = new Set<number>()
  for (const ingest of ingests) {
    mark(ingest)
    if (isActive(ingest.state) && world.without !== 'marks cancel active versions') move(ingest, 'cancel')
    for (const row of world.postgres.listed.values()) if (row.ingest === ingest.id) partitions.add(row.partition)
  }
  if (world.without === 'marks plan rebuilds') return
  for (const partition of partitions) {
    const isEnough = ({ state }: Ingest) =>
      state === 'planned' || (state === 'curating' && world.without === 'a running rebuild is not enough')
    const planned = world.postgres.ingests.some((it) => it.byMark && it.partition === partition && isEnough(it))
    if (!planned) planRebuild(world, partition, { byMark: true })
  }
}

export type Settlement = 'retry' | 'give back' | 'fail' | 'quarantine'

/** What an error means for the ingest; false where it is no longer ours. */
export function settle(world: World, claim: Claim, settlement: Settlement): boolean {
  return guarded(world, claim, (ingest) => {
    if (!isMine(world, claim, ingest, 'retry')) return false
    if (settlement === 'fail' || settlement === 'quarantine') return move(ingest, settlement)
    if (settlement === 'give back') ingest.attempts--
    returnToDurable(ingest)
    ingest.waiting = true
    return true
  })
}

/** `retry`, or quarantine where it was tried often enough. */
export function returnToDurable(ingest: Ingest): void {
  move(ingest, ingest.attempts >= ATTEMPTS_MAX ? 'quarantine' : 'retry')
  ingest.queued = 'no'
}
