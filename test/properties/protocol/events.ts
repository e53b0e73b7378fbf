import { planFile } from './plan.ts'
import { bodyOf, GRANULES } from './records.ts'
import { isActive, markLeftOut, move } from './statements.ts'
import { type Ingest, isCurrent, type World } from './world.ts'

/** What the world outside does: files arrive, providers correct, people act, time passes. Each is one transaction. */

const FILES: readonly (readonly number[])[] = [
  [7, 0, 0, 0],
  [8, 3, 0, 0],
  [0, 2, 7, 0],
  [0, 0, 0, 8],
]

/** Change times: now, as old as anything, that of the file before, far ahead. */
export function deliverFile(world: World, name: number, choice: number): number {
  const values = FILES[choice % FILES.length] ?? []
  const records = values.map((value, granule) => ({ granule, value })).filter(({ value }) => value > 0)
  const before = world.postgres.ingests.findLast(({ file }) => file !== null)?.file ?? null
  world.clock += 10
  const times = [world.clock, 1, before?.changedAt ?? 2, world.clock + 1000]
  const changedAt = times[Math.floor(choice / FILES.length) % times.length] ?? world.clock
  return planFile(world, { name, changedAt, body: bodyOf(records, true) })
}

export function withdraw(world: World, name: number): void {
  const versions = world.postgres.ingests.filter(({ file, withdrawn }) => file?.name === name && !withdrawn)
  markLeftOut(world, versions, (ingest) => {
    ingest.withdrawn = true
  })
}

export function freeGuard(world: World): void {
  world.postgres.held = false
  if (world.without === 'freeing sends again') return
  for (const ingest of world.postgres.ingests) if (ingest.state === 'landed') ingest.queued = 'no'
}

export function correct(world: World, granule: number, value: number): void {
  world.provider.values[granule % GRANULES] = value
}

/** Retries become due and hints older than the host's message lock. */
export function timePasses(world: World): void {
  for (const ingest of world.postgres.ingests) {
    ingest.waiting = false
    if (ingest.queued === 'fresh') ingest.queued = 'stale'
  }
}

export function expireLease(ingest: Ingest): void {
  ingest.leaseExpired = true
}

/** A person ends an ingest; one that a mark planned is not theirs to end. */
export function cancel(ingest: Ingest): void {
  if (!ingest.byMark) move(ingest, 'cancel')
}

/** Refused while an active ingest overlaps, and for what is superseded or withdrawn. */
export function replay(world: World, ingest: Ingest): void {
  if (!isCurrent(ingest) && world.without !== 'marked ingests stay ended') return
  const overlaps = world.postgres.ingests.some(
    ({ state, lo, hi }) => isActive(state) && (lo ?? 9) < (ingest.hi ?? 0) && (ingest.lo ?? 9) < (hi ?? 0),
  )
  if (overlaps || !move(ingest, ingest.landedEpoch === null ? 'replayPlanned' : 'replayLanded')) return
  ingest.attempts = 0
  ingest.waiting = false
  ingest.queued = 'no'
}

/** Somebody deletes a curated file; what writes there next makes it whole again. */
export function removeFile(world: World, partition: number): void {
  if (world.curated[partition] === null) return
  world.curated[partition] = null
  world.missing.add(partition)
  world.onceMissing.add(partition)
  for (const key of world.firstCounts.keys()) if (key.endsWith(`/${partition}`)) world.firstCounts.delete(key)
}

export function runningIngests(world: World): readonly Ingest[] {
  return world.postgres.ingests.filter(({ state }) => state === 'landing' || state === 'curating')
}
