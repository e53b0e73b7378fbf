import { PermanentError } from '../../../shared/errors.ts'
import { io, type Process, read } from '../protocol/process.ts'
import { workOf } from './consumers.ts'
import { acquire, consumerOf, holds, type Lease, move } from './lease.ts'
import type { Part } from './parts.ts'
import { type ConsumerName, isPast, type Position, type RecordRow, START } from './tables.ts'
import type { Session } from './worker.ts'
import { type Cursor, readLog, type World } from './world.ts'

/** The feed, the consumers that the platform runs, and somebody outside who follows it. */

const PAGE = 2
const PAGES_MAX = 4

export type Page = {
  readonly records: readonly RecordRow[]
  readonly position: Position
  /** What follows was stored on the day before it or later, or was gone before this page was read. */
  readonly asOf: number
  readonly isEnd: boolean
}

type Request = { readonly after: Position; readonly tenant: string | null }

/** One statement, unless a part is taken away. Positions of another generation say nothing. */
function* readPage(world: World, { generation }: Lease, after: Position): Process<Page> {
  const request = { after, tenant: null }
  if (world.without !== 'rows and bound of one snapshot') {
    return yield* read('read the feed', () => {
      const isOther = generation !== world.database.tables.generation
      if (isOther && world.without !== 'cursors carry a generation') throw new PermanentError('feed: gone')
      return pageOf(world, request, visible(world), world.database.xmin())
    })
  }
  const rows = yield* read('read rows of the feed', () => visible(world))
  return yield* read('read the bound of the feed', () => pageOf(world, request, rows, world.database.xmin()))
}

function visible({ database }: World): readonly RecordRow[] {
  return [...database.tables.hot.values()]
}

function pageOf(world: World, { after, tenant }: Request, rows: readonly RecordRow[], xmin: number): Page {
  const { without, database } = world
  const bound = without === 'the feed waits for open transactions' ? Number.POSITIVE_INFINITY : xmin
  const found = rows
    .filter(({ xid, position }) => xid < bound && isPast(position, after))
    .sort((a, b) => (isPast(a.position, b.position) ? 1 : -1))
  const records = found.slice(0, PAGE)
  const last = records.at(-1)
  const isEnd = found.length <= PAGE
  const stored = isEnd || last === undefined ? database.today : last.day
  return {
    records: records.filter(({ fact }) => tenant === null || fact.checked.tenant === tenant),
    // At the end of the feed the cursor goes behind every transaction that is over.
    position: isEnd && !HAVE_NO_HORIZON.includes(without) ? { xid: xmin, seq: 0 } : (last?.position ?? after),
    isEnd,
    asOf: without === 'a cursor knows the boundary' ? stored : Math.max(stored, database.tables.below + 1),
  }
}

const HAVE_NO_HORIZON: readonly (Part | null)[] = [
  'the feed waits for open transactions',
  'positions have a transaction first',
  'positions lie within transactions',
]

/** Acquire, then page after page: work, and move the cursor where the epoch is still mine. */
export function* runConsumer(world: World, session: Session, name: ConsumerName): Process {
  const { without } = world
  const acquired = yield* io(`acquire ${name}`, () => acquire(world, name))
  if (acquired === null) return
  const { lease } = acquired
  let { position } = acquired
  for (let pages = 0; pages < PAGES_MAX; pages++) {
    const page = yield* readPage(world, lease, position)
    const forward = () =>
      io(`move ${name} to ${page.position.xid}.${page.position.seq}`, () => move(world, lease, page.position))
    if (without === 'the cursor moves after the work' && !(yield* forward())) return
    if (page.records.length > 0) yield* workOf(world, session, name, page.records)
    if (without !== 'the cursor moves after the work' && !(yield* forward())) return
    if (page.records.length === 0) break
    position = page.position
  }
  yield* io(`release ${name}`, () => {
    const row = consumerOf(world, name)
    if (holds(lease, row)) world.database.tables.consumers.set(name, { ...row, lease: 'free' })
  })
}

/**
 * Who begins, or is told that the feed has lost what they have not read, takes the first page of what is hot and only
 * then the log: what was deleted before that page is in it.
 */
export function* followFeed(world: World): Process {
  const { subscriber, without } = world
  for (let pages = 0; pages < PAGES_MAX; pages++) {
    const { cursor } = subscriber
    const begins = cursor === null
    const logFirst = without === 'the log after the first page'
    const logged = begins && logFirst ? yield* read('read the log', () => readLog(world)) : []
    const page = yield* read('GET /feed', () => subscribed(world, cursor))
    const missed = begins && !logFirst ? yield* read('read the log', () => readLog(world)) : []
    const records = page === 'gone' ? [] : page.records.map(({ recordId }) => recordId)
    for (const recordId of [...logged, ...records, ...missed]) subscriber.seen.add(recordId)
    subscriber.cursor = page === 'gone' ? null : page.cursor
    if (page !== 'gone' && page.isEnd) return
  }
}

function subscribed(world: World, cursor: Cursor | null): 'gone' | (Page & { readonly cursor: Cursor }) {
  const { subscriber, database, without } = world
  const { generation, below } = database.tables
  if (cursor !== null) {
    if (cursor.generation !== generation && without !== 'cursors carry a generation') return 'gone'
    if (below >= cursor.asOf && without !== 'cursors older than hot are refused') return 'gone'
  }
  const page = pageOf(
    world,
    { after: cursor?.position ?? START, tenant: subscriber.tenant },
    visible(world),
    database.xmin(),
  )
  return { ...page, cursor: { position: page.position, generation, asOf: page.asOf } }
}
