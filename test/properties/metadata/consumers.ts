import { TransientError } from '../../../shared/errors.ts'
import { io, type Process, read } from '../protocol/process.ts'
import { cellOf, cellsOf } from './cells.ts'
import { readBoundary, recordsOf } from './compaction.ts'
import type { Transaction } from './database.ts'
import type { CellRow, ConsumerName, RecordRow } from './tables.ts'
import { type Session, statement, transaction } from './worker.ts'
import type { World } from './world.ts'

/** What the consumers do with a page. */

const TRIES_MAX = 3

export function workOf(world: World, session: Session, name: ConsumerName, records: readonly RecordRow[]): Process {
  if (name === 'log') return appendToLog(world, records)
  return name === 'table' ? copyLatest(world, records) : rollUp(world, session, records)
}

function* appendToLog(world: World, records: readonly RecordRow[]): Process {
  const ids = records.map(({ recordId }) => recordId)
  yield* io(`append ${ids.join(', ')}`, () => void world.log.push(...ids))
}

function* copyLatest(world: World, records: readonly RecordRow[]): Process {
  for (const series of new Set(records.map(({ fact }) => fact.series))) {
    let isDone = false
    for (let left = TRIES_MAX; left > 0 && !isDone; left--) isDone = yield* copySeries(world, series, records)
    if (!isDone) throw new TransientError(`table ${series}: others were always first`)
  }
}

function* copySeries(world: World, series: string, records: readonly RecordRow[]): Process<boolean> {
  const { database, without, entities } = world
  const latest = yield* read(`read latest of ${series}`, () => {
    const { latest, generation } = database.tables
    const fed =
      without === 'the table copies latest' ? records.findLast(({ fact }) => fact.series === series) : undefined
    const row = latest.get(series)
    return { recordId: fed?.recordId ?? row?.record.recordId ?? '', changeNo: row?.changeNo ?? 0, generation }
  })
  const there = yield* read(`GET entity ${series}`, () => entities.get(series))
  if (there !== undefined && !isNewer(world, latest, there) && without !== 'the table only forwards') return true
  return yield* io(`PUT entity ${series}: ${latest.recordId} #${latest.changeNo}`, () => {
    if (entities.get(series)?.etag !== there?.etag && without !== 'the table by etag') return false
    entities.set(series, { ...latest, etag: ++world.etag })
    return true
  })
}

type Change = { readonly generation: number; readonly changeNo: number }

/** After a restore change_no begins again where the backup was. */
function isNewer({ without }: World, a: Change, b: Change): boolean {
  if (a.generation === b.generation || without === 'the table knows generations') return a.changeNo > b.changeNo
  return a.generation > b.generation
}

/**
 * Recomputes the cells that the page touched, from everything: files first, then hot rows and the cells under a lock,
 * so that nobody puts an older count over a newer one.
 */
function* rollUp(world: World, session: Session, fed: readonly RecordRow[]): Process {
  const { without, database } = world
  for (let left = TRIES_MAX; left > 0; left--) {
    const { below } = yield* readBoundary(world)
    const filed = yield* read('read files', () => recordsOf(world, { below, hot: [] }))
    const isWritten = yield* transaction(world, session, function* (tx) {
      yield* statement(world, tx, 'lock rollups', () => {
        if (without !== 'rollups under a lock') database.lock(tx, 'rollups')
      })
      const snapshot = yield* readBoundary(world)
      if (snapshot.below !== below) return false
      const everything = without === 'rollups of hot and files' ? snapshot.hot : [...snapshot.hot, ...filed]
      writeCells(world, tx, fed, everything)
      return true
    })
    if (isWritten) return
  }
  throw new TransientError('rollups: the boundary moved again and again')
}

function writeCells(
  { without }: World,
  tx: Transaction,
  fed: readonly RecordRow[],
  everything: readonly RecordRow[],
): void {
  if (without === 'rollups are recomputed') {
    tx.writes.push(({ rollup }) => increment(rollup, fed))
    return
  }
  const keys = new Set(fed.map(({ key }) => key))
  const touching =
    without === 'a correction touches what it corrects' ? fed : everything.filter(({ key }) => keys.has(key))
  const longer = without === 'longer windows are left out'
  const touched = new Set(touching.flatMap((record) => cellOf(record, longer) ?? []))
  const cells = cellsOf(everything, { superseded: without === 'highest revisions roll up', longer })
  tx.writes.push(({ rollup }) => {
    for (const cell of touched) rollup.set(cell, cells.get(cell) ?? { count: 0, total: 0 })
  })
}

function increment(rollup: Map<string, CellRow>, fed: readonly RecordRow[]): void {
  for (const [cell, { count, total }] of cellsOf(fed)) {
    const known = rollup.get(cell) ?? { count: 0, total: 0 }
    rollup.set(cell, { count: known.count + count, total: known.total + total })
  }
}
