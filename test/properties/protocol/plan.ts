import { ACTIVE_STATES, TRANSITIONS } from '../../../shared/ingest/state/state-machine.ts'
import { assertNoOverlap } from './oracle.ts'
import { io, type Process } from './process.ts'
import { type FileVersion, type Ingest, ingestOf, type Message, type World, windowOf } from './world.ts'

/** What brings ingests into being. Each is one transaction under the stream's lock. */

const WINDOW_MAX = 2
const OLDER_WINDOWS_MAX = 2
const LOOKBACK = 2

type Planned = Pick<Ingest, 'kind' | 'lane'> &
  Partial<Pick<Ingest, 'lo' | 'hi' | 'file' | 'partition' | 'byMark' | 'head'>>

export function insertIngest(world: World, planned: Planned): number {
  const { ingests } = world.postgres
  const id = ingests.length
  ingests.push({
    lo: null,
    hi: null,
    file: null,
    partition: null,
    byMark: false,
    head: 0,
    ...planned,
    id,
    state: 'planned',
    epoch: 0,
    landedEpoch: null,
    attempts: 0,
    transformVersion: 0,
    waiting: false,
    queued: 'no',
    leaseExpired: false,
    records: 0,
    supersededBy: null,
    withdrawn: false,
  })
  assertNoOverlap(world)
  return id
}

export function planRebuild(world: World, partition: number, { byMark }: { readonly byMark: boolean }): number {
  return insertIngest(world, { kind: 'rebuild', lane: 'reprocess', partition, byMark })
}

/** The version is counted in the planning transaction: a later one is a newer one, whatever its change time says. */
export function planFile(world: World, file: Omit<FileVersion, 'version'>): number {
  const version = world.postgres.ingests.filter((ingest) => ingest.file?.name === file.name).length
  return insertIngest(world, { kind: 'fetch', lane: 'import', file: { ...file, version } })
}

/** Granules that are nobody's: the planner may make windows of them. */
function isTaken(world: World, states: readonly string[]): boolean[] {
  const taken: boolean[] = []
  for (const ingest of world.postgres.ingests) {
    const window = windowOf(ingest)
    if (window === null || !states.includes(ingest.state)) continue
    for (let granule = window.lo; granule < window.hi; granule++) taken[granule] = true
  }
  return taken
}

const OWNED_STATES = [...ACTIVE_STATES, 'failed', 'quarantined']

/** The newest piece always, older ones up to a number; a window that nobody began is widened. */
export function planLive(world: World): number[] {
  const { fetched, published, ingests } = world.postgres
  const covered = world.without === 'fetched is not planned' ? published : fetched
  widen(world, covered)
  const taken = isTaken(world, OWNED_STATES)
  const planned: number[] = []
  let open = ingests.filter(({ lane, state }) => lane === 'live' && (state === 'planned' || state === 'landing')).length
  for (let hi = world.end; hi > 0; hi--) {
    let lo = hi
    while (lo > 0 && hi - lo < WINDOW_MAX && !covered[lo - 1] && !taken[lo - 1]) lo--
    if (lo === hi) continue
    if (hi === world.end || open < OLDER_WINDOWS_MAX) {
      planned.push(insertIngest(world, { kind: 'fetch', lane: 'live', lo, hi }))
      open++
    }
    hi = lo + 1
  }
  return planned
}

function widen(world: World, covered: readonly boolean[]): void {
  const taken = isTaken(world, OWNED_STATES)
  const newest = world.postgres.ingests.findLast(({ lane, state }) => lane === 'live' && state === 'planned')
  if (newest === undefined || newest.lo === null || newest.hi === null) return
  while (newest.hi < world.end && newest.hi - newest.lo < WINDOW_MAX && !covered[newest.hi] && !taken[newest.hi]) {
    newest.hi++
  }
}

/** Re-reads what is published of `[h − lookback, head)`; h is the head when the newest published lookback was planned. */
export function planLookback(world: World): number[] {
  const { published, ingests } = world.postgres
  const head = published.lastIndexOf(true) + 1
  const last = ingests.findLast(({ lane, state }) => lane === 'lookback' && state === 'published')
  const taken = isTaken(world, ACTIVE_STATES)
  const planned: number[] = []
  for (let lo = Math.max(0, (last?.head ?? head) - LOOKBACK); lo < head; lo++) {
    let hi = lo
    while (hi < head && hi - lo < WINDOW_MAX && published[hi] && !taken[hi]) hi++
    if (hi === lo) continue
    planned.push(insertIngest(world, { kind: 'fetch', lane: 'lookback', lo, hi, head }))
    lo = hi - 1
  }
  return planned
}

export function queueOf({ kind, state }: Ingest): Message['queue'] {
  return kind === 'rebuild' || state === 'landed' ? 'curate' : 'land'
}

/** A tick of the planner: a crash between the lines leaves what is planned to the sweep. */
export function* planTick(world: World, lane: 'live' | 'lookback'): Process {
  const planned = yield* io(`plan ${lane}`, () => (lane === 'live' ? planLive(world) : planLookback(world)))
  yield* sendHints(world, planned)
}

/** Marked after the send: a crash between the two sends a hint twice. */
export function* sendHints(world: World, ids: readonly number[]): Process {
  if (ids.length === 0) return
  yield* io(`send ${ids.join()}`, () => {
    for (const id of ids) world.queue.push({ queue: queueOf(ingestOf(world, id)), ingest: id })
  })
  yield* io(`mark queued ${ids.join()}`, () => {
    for (const id of ids) ingestOf(world, id).queued = 'fresh'
  })
}

/** Two halves take the window's place; false where it is one granule or a file. */
export function split(world: World, parent: Ingest): boolean {
  const { lo, hi, lane, head } = parent
  if (lo === null || hi === null || hi - lo < 2) return false
  const next = TRANSITIONS[parent.kind][parent.state].split
  if (next === null) return false
  parent.state = next
  insertIngest(world, { kind: 'fetch', lane, lo, hi: lo + 1, head })
  insertIngest(world, { kind: 'fetch', lane, lo: lo + 1, hi, head })
  return true
}
