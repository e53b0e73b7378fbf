import { ACTIVE_STATES } from '../../../shared/ingest/state/state-machine.ts'
import { compareIdentity, encode, PARTITIONS, type Parsed, partitionOf, type Row, winners } from './records.ts'
import { Violation } from './violation.ts'
import {
  type CuratedFile,
  type Ingest,
  ingestOf,
  isCurrent,
  listKey,
  pagesOf,
  parseIngest,
  type World,
} from './world.ts'

/** The promises, asked of one committed state. They look at what is stored, never at what a worker believes. */

/** The rows of an ingest in one partition as its landed pages and one transform make them. */
function rowsOf(world: World, ingest: Ingest, partition: number, transformVersion: number): readonly Row[] {
  const { rows } = parseIngest(world, ingest.id, ingest.landedEpoch, transformVersion)
  return rows.filter(({ key }) => partitionOf(key) === partition)
}

/** I3: winners of the pages of every listed, current ingest. */
function expectedRows(world: World, partition: number, transformVersion: number): readonly Row[] {
  const rows: Row[] = []
  for (const listed of world.postgres.listed.values()) {
    const ingest = ingestOf(world, listed.ingest)
    if (listed.partition !== partition || !isCurrent(ingest)) continue
    rows.push(...rowsOf(world, ingest, partition, transformVersion))
  }
  return winners(rows)
}

/** As `verify` says it: a rebuild planned by a mark, or a listed current ingest, is unpublished. */
export function isPending(world: World, partition: number): boolean {
  const { ingests, listed } = world.postgres
  for (const ingest of ingests) {
    if (ingest.byMark && ingest.partition === partition && ingest.state !== 'published') return true
    if (ingest.state !== 'published' && isCurrent(ingest) && listed.has(listKey(ingest.id, partition))) return true
  }
  return false
}

/** What holds in every committed state: readers may look at any time. */
export function assertState(world: World): void {
  const { fetched, published } = world.postgres
  for (const [granule, isPublished] of published.entries()) {
    if (isPublished && !fetched[granule]) throw new Violation('I1', `granule ${granule} is published and not fetched`)
  }
  for (const partition of PARTITIONS) {
    const file = world.curated[partition] ?? null
    if (isPending(world, partition) || world.missing.has(partition)) continue
    const expected = expectedRows(world, partition, file?.transformVersion ?? 1)
    if (file === null && expected.length === 0) continue
    const found = file?.bytes ?? 'no file'
    const bytes = encode(expected, file?.transformVersion ?? 1)
    if (found !== bytes) throw new Violation('I3', `partition ${partition}: expected ${bytes}, got ${found}`)
  }
}

/** The exclusion constraint: two active windows of one stream never overlap. */
export function assertNoOverlap(world: World): void {
  const active = world.postgres.ingests.filter(({ lo, state }) => lo !== null && ACTIVE_STATES.includes(state))
  for (const a of active) {
    for (const b of active) {
      if (a.id < b.id && (a.lo ?? 0) < (b.hi ?? 0) && (b.lo ?? 0) < (a.hi ?? 0)) {
        throw new Violation('I7', `windows of ingests ${a.id} and ${b.id} overlap, both are active`)
      }
    }
  }
}

/** I7, at the claim: below `fetched` only a lookback may ask, and what has landed never asks again. */
export function assertMayAsk(world: World, ingest: Ingest): void {
  if (ingest.landedEpoch !== null)
    throw new Violation('I7', `ingest ${ingest.id} has landed and asks the provider again`)
  if (ingest.lane !== 'live' || ingest.lo === null || ingest.hi === null) return
  if (world.postgres.fetched.slice(ingest.lo, ingest.hi).includes(true)) {
    throw new Violation('I7', `ingest ${ingest.id} asks for a window that is fetched`)
  }
}

/** I1: every page of the answer is in the lake, from the first to the one that the provider called its last. */
export function assertLanded(world: World, ingest: Ingest): void {
  const pages = pagesOf(world, ingest.id, ingest.landedEpoch)
  const chain = pages.every(
    ({ pageNo, body }, place) => pageNo === place && body.isLast === (place === pages.length - 1),
  )
  const complete = pages.length === (ingest.lo === null || ingest.hi === null ? 1 : ingest.hi - ingest.lo)
  if (!chain || !complete)
    throw new Violation('I1', `ingest ${ingest.id} landed with ${pages.length} pages that are no chain`)
}

export function assertFencedChangedNothing<T>(world: World, id: number, statement: () => T): T {
  const snapshot = () => JSON.stringify([world.postgres, [...world.postgres.listed]])
  const before = snapshot()
  const assertSame = () => {
    if (snapshot() !== before) throw new Violation('I5', `a worker that lost ingest ${id} changed rows of Postgres`)
  }
  try {
    const answer = statement()
    assertSame()
    return answer
  } catch (error) {
    assertSame()
    throw error
  }
}

/** I6, and I1's other half: what is published is listed wherever it has rows. */
export function assertPublished(
  world: World,
  claim: { readonly id: number; readonly transformVersion: number },
  parsed: Parsed,
  written: readonly { readonly partition: number }[],
): void {
  const ingest = ingestOf(world, claim.id)
  let accounted = parsed.rejected + parsed.outside
  for (const { partition } of written) {
    const key = listKey(claim.id, partition)
    const listed = world.postgres.listed.get(key)
    if (listed === undefined)
      throw new Violation('I1', `ingest ${claim.id} is published and not listed in ${partition}`)
    const { inserted, updated, unchanged, superseded } = listed.counts
    accounted += inserted + updated + unchanged + superseded
    const first = world.firstCounts.get(key)
    if (first === undefined || first.transformVersion !== claim.transformVersion) continue
    const [was, is] = [JSON.stringify(first.counts), JSON.stringify(listed.counts)]
    if (was !== is) throw new Violation('I6', `ingest ${claim.id} counted ${was} in ${partition}, a retry ${is}`)
  }
  const stored = pagesOf(world, claim.id, ingest.landedEpoch).reduce((sum, { body }) => sum + body.records.length, 0)
  if (accounted !== stored || ingest.records !== stored) {
    throw new Violation('I6', `ingest ${claim.id} has ${stored} records in raw, ${accounted} are accounted for`)
  }
  for (const partition of PARTITIONS) {
    const reaches = rowsOf(world, ingest, partition, claim.transformVersion).length > 0
    if (reaches && !written.some((it) => it.partition === partition)) {
      throw new Violation('I1', `ingest ${claim.id} has rows in partition ${partition} and did not write it`)
    }
  }
}

/** I2, and a file never goes back to an older transform. */
export function assertReplaced(
  partition: number,
  old: CuratedFile | null,
  { rows, transformVersion }: CuratedFile,
): void {
  if (old !== null && old.transformVersion > transformVersion) {
    throw new Violation(
      'I3',
      `partition ${partition}: transform ${old.transformVersion} replaced by ${transformVersion}`,
    )
  }
  for (const [place, { key }] of rows.entries()) {
    if (place > 0 && rows[place - 1]?.key === key) throw new Violation('I2', `partition ${partition}: key ${key} twice`)
  }
}

/** When faults have stopped and everything was drained. */
export function assertSettled(world: World): void {
  const { fetched, published, ingests } = world.postgres
  const explained = (states: readonly string[]) => {
    const windows = ingests.filter(({ state, lo }) => lo !== null && states.includes(state))
    return (granule: number) => windows.some(({ lo, hi }) => (lo ?? 0) <= granule && granule < (hi ?? 0))
  }
  const isHole = explained(['failed', 'quarantined'])
  const isLeft = explained(['failed', 'quarantined', 'cancelled'])
  for (const { id, state } of ingests) {
    if (ACTIVE_STATES.includes(state)) throw new Violation('progress', `ingest ${id} is still ${state}`)
  }
  for (let granule = 0; granule < world.end; granule++) {
    if (!fetched[granule] && !isHole(granule)) throw new Violation('progress', `granule ${granule} was never fetched`)
    if (fetched[granule] && !published[granule] && !isLeft(granule)) {
      throw new Violation('progress', `granule ${granule} is fetched and not published`)
    }
  }
  assertState(world)
  for (const partition of PARTITIONS) assertPartitionSettled(world, partition)
}

function assertPartitionSettled(world: World, partition: number): void {
  const file = world.curated[partition] ?? null
  const rebuilding = world.postgres.ingests.some((it) => it.partition === partition && it.state !== 'published')
  if (isPending(world, partition)) assertWinnersKept(world, partition)
  else if (!rebuilding && !world.onceMissing.has(partition)) {
    const known = world.postgres.partitions[partition] ?? null
    if (known?.etag !== file?.etag) {
      throw new Violation(
        'I3',
        `partition ${partition}: Postgres knows etag ${known?.etag}, the file has ${file?.etag}`,
      )
    }
  }
}

/** Pending never means lost: a published current row stays until a greater one takes its key. */
function assertWinnersKept(world: World, partition: number): void {
  const file = world.curated[partition] ?? null
  if (file === null) return
  for (const listed of world.postgres.listed.values()) {
    const ingest = ingestOf(world, listed.ingest)
    if (listed.partition !== partition || !isCurrent(ingest) || ingest.state !== 'published') continue
    for (const row of rowsOf(world, ingest, partition, file.transformVersion)) {
      const kept = file.rows.some((it) => it.key === row.key && compareIdentity(it, row) >= 0)
      if (!kept) throw new Violation('I1', `partition ${partition}: row ${row.key} of ingest ${ingest.id} is gone`)
    }
  }
}
