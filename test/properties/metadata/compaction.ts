import { PermanentError } from '../../../shared/errors.ts'
import { io, type Process, read } from '../protocol/process.ts'
import { TENANTS } from './facts.ts'
import { assertReadOnce } from './oracle.ts'
import { isPast, type Position, type RecordRow, START, type Tables } from './tables.ts'
import { filePath, keyName, type World } from './world.ts'

/** A day becomes one file per tenant, the boundary moves over it, and what is below may be deleted. */

/** A day is closed when nothing can arrive in it: a transaction lives through one midnight at most. */
const CLOSED_DAYS = 2
const DAYS_MAX = 3
const DELETE_MAX = 2
const DELETES_MAX = 8

export function* compact(world: World): Process {
  yield* deleteBelow(world)
  for (let days = 0; days < DAYS_MAX; days++) {
    if (!(yield* compactDay(world))) return
    yield* deleteBelow(world)
  }
}

/** Whether the boundary moved. */
function* compactDay(world: World): Process<boolean> {
  const { database, without } = world
  const closedDays = without === 'closed two days later' ? 1 : CLOSED_DAYS
  const day = yield* read('read the boundary', () =>
    database.tables.below <= database.today - closedDays ? database.tables.below : null,
  )
  if (day === null) return false
  const plan = yield* read(`read day ${day}`, () => planOf(database.tables, day))
  for (const tenant of plan.tenants) {
    yield* writeFile(world, tenant, day)
    if (without === 'deleted below the boundary') yield* deleteDay(world, tenant, day)
    if (without === 'all files of the day') break
  }
  return yield* io(`move the boundary over day ${day}`, () => {
    const { tables } = database
    if (tables.below !== day && without !== 'the boundary moves from where it was') return false
    if (without !== 'the boundary waits for consumers' && isUnread(tables, plan.greatest)) return false
    tables.below = day + 1
    return true
  })
}

type Plan = { readonly tenants: readonly string[]; readonly greatest: Position }

function planOf({ hot }: Tables, day: number): Plan {
  const rows = [...hot.values()].filter((row) => row.day === day)
  const greatest = rows.reduce((so, { position }) => (isPast(position, so) ? position : so), START)
  return { tenants: TENANTS.filter((tenant) => rows.some((row) => row.fact.checked.tenant === tenant)), greatest }
}

/** A consumer of another generation begins again: it has read nothing. */
function isUnread({ consumers, generation }: Tables, greatest: Position): boolean {
  return [...consumers.values()].some((row) => row.generation !== generation || isPast(greatest, row.position))
}

function* writeFile(world: World, tenant: string, day: number): Process {
  const { database, files, without } = world
  const path = filePath(tenant, day)
  const rows = yield* read(`read ${path}`, () =>
    [...database.tables.hot.values()]
      .filter((row) => row.day === day && row.fact.checked.tenant === tenant)
      .filter((row) => without !== 'files hold every record of the day' || !isLatest(database.tables, row)),
  )
  const created = yield* io(`PUT file ${path}`, () => {
    if (files.has(path) && without !== 'files are put if absent') return false
    files.set(path, rows)
    return true
  })
  if (created) return
  const there = yield* read(`GET file ${path}`, () => files.get(path) ?? [])
  if (idsOf(there) !== idsOf(rows)) {
    throw new PermanentError(`file ${path}: expected ${idsOf(rows)}, got ${idsOf(there)}`)
  }
}

function idsOf(rows: readonly RecordRow[]): string {
  return rows
    .map(({ recordId }) => recordId)
    .sort()
    .join()
}

function isLatest({ latest }: Tables, row: RecordRow): boolean {
  return latest.get(row.fact.series)?.record.recordId === row.recordId
}

/** Of whatever day: what is below the boundary of this moment, and no latest one. */
function* deleteBelow(world: World): Process {
  const { database } = world
  for (let batch = 0; batch < DELETES_MAX; batch++) {
    const deleted = yield* io('delete below the boundary', () => {
      const { tables } = database
      return deleteRows(world, (row) => row.day < tables.below, DELETE_MAX)
    })
    if (deleted === 0) return
  }
}

function* deleteDay(world: World, tenant: string, day: number): Process {
  yield* io('delete the day', () =>
    deleteRows(world, (row) => row.day === day && row.fact.checked.tenant === tenant, Number.POSITIVE_INFINITY),
  )
}

function deleteRows(world: World, isDue: (row: RecordRow) => boolean, max: number): number {
  const { tables } = world.database
  const keepsLatest = world.without !== 'a latest record stays hot'
  const due = [...tables.hot.values()].filter((row) => isDue(row) && !(keepsLatest && isLatest(tables, row)))
  for (const { recordId, fact } of due.slice(0, max)) {
    tables.hot.delete(recordId)
    if (world.without === 'keys stay') tables.keys.delete(keyName(world, fact, fact.revision))
  }
  return Math.min(due.length, max)
}

export type Snapshot = { readonly below: number; readonly hot: readonly RecordRow[] }

/** The boundary and the hot rows from it on, in one statement unless a part is taken away. */
export function* readBoundary(world: World): Process<Snapshot> {
  const { database } = world
  const hotFrom = (below: number) => [...database.tables.hot.values()].filter(({ day }) => day >= below)
  if (world.without !== 'boundary and hot rows of one snapshot') {
    return yield* read('read boundary and hot rows', () => {
      const { below } = database.tables
      return { below, hot: hotFrom(below) }
    })
  }
  const below = yield* read('read the boundary', () => database.tables.below)
  return yield* read('read hot rows', () => ({ below, hot: hotFrom(below) }))
}

/** Files below the boundary never change: they may be read at any time after it. */
export function recordsOf({ files }: World, { below, hot }: Snapshot): readonly RecordRow[] {
  const records = [...hot]
  for (let day = 0; day < below; day++) {
    for (const tenant of TENANTS) records.push(...(files.get(filePath(tenant, day)) ?? []))
  }
  return records
}

/** The history of everything, as the command line reads it. */
export function* readHistory(world: World): Process {
  const { tables } = world.database
  const before = [...tables.ever.keys()]
  const snapshot = yield* readBoundary(world)
  const records = yield* read('read files', () => recordsOf(world, snapshot))
  if (tables === world.database.tables) assertReadOnce(before, records)
}
