import { cellsOf, isSameCell } from './cells.ts'
import { type Fact, nameOf } from './facts.ts'
import { type ConsumerRow, isLater, isPast, type Position, type RecordRow, type Tables, type Told } from './tables.ts'
import { Violation } from './violation.ts'
import { filePath, readLog, type World } from './world.ts'

/** The promises, asked of one committed state. They look at what is stored, never at what a worker believes. */

/** What is true of every committed state. */
export function assertState(world: World): void {
  const { database, checked, etag } = world
  const { tables, commits } = database
  const { hot, below, consumers } = tables
  const now = { commits, hot: hot.size, below, logAt: consumers.get('log')?.position ?? null, etag }
  world.checked = now
  const isCommitted = checked.commits !== now.commits
  const isKept = !isCommitted && checked.hot === now.hot && checked.below === now.below
  if (isCommitted) assertFacts(tables)
  if (!isKept) {
    assertLatest(tables)
    for (const record of tables.ever.values()) assertKeptOnce(world, record)
  }
  if (!isKept || checked.logAt !== now.logAt) assertFed(world)
  if (isCommitted || checked.etag !== now.etag) assertTable(world)
}

/** Each revision of a fact once, after the one before, and never dated before it. */
function assertFacts({ ever }: Tables): void {
  const revisions = new Map<string, RecordRow>()
  for (const record of ever.values()) {
    if (revisions.has(record.name)) throw new Violation('twice', `${record.name}: stored twice`)
    revisions.set(record.name, record)
  }
  for (const { name, before: beforeName, fact, ordered, effective } of revisions.values()) {
    const before = beforeName === null ? undefined : revisions.get(beforeName)
    if (beforeName !== null && before === undefined) {
      throw new Violation('order', `${name}: stored before what it corrects`)
    }
    const expected = Math.max(fact.produced, before?.ordered ?? 0)
    if (ordered !== expected || effective !== (fact.window?.end ?? ordered)) {
      throw new Violation('order', `${name}: expected it at ${expected}, got ${ordered}`)
    }
  }
}

/** A pure function of the records, whatever the order in which they came. */
function assertLatest({ ever, latest, hot }: Tables): void {
  const greatest = new Map<string, RecordRow>()
  for (const record of ever.values()) {
    const { series } = record.fact
    const known = greatest.get(series)
    if (known === undefined || isLater(record, known)) greatest.set(series, record)
  }
  for (const [series, { recordId }] of greatest) {
    const found = latest.get(series)?.record.recordId
    if (found !== recordId) throw new Violation('latest', `${series}: expected ${recordId}, got ${found}`)
    if (!hot.has(recordId)) throw new Violation('latest', `${series}: ${recordId} is not hot any more`)
  }
}

/** A reader of both sees it in one of them: from the boundary on in the hot rows, below in the file of its day. */
function assertKeptOnce({ database, files }: World, { recordId, day, fact }: RecordRow): void {
  const { hot, below } = database.tables
  const file = files.get(filePath(fact.checked.tenant, day)) ?? []
  if (day >= below && !hot.has(recordId))
    throw new Violation('compaction', `${recordId}: no longer hot above the boundary`)
  if (day < below && !file.some((row) => row.recordId === recordId)) {
    throw new Violation('compaction', `${recordId}: below the boundary and not in the file of day ${day}`)
  }
}

/** What the log has passed is in the log. What a consumer has yet to pass is still hot. */
function assertFed({ database, log }: World): void {
  const { ever, hot, consumers, generation } = database.tables
  const logged = new Set(log)
  for (const [name, row] of consumers) {
    if (row.generation !== generation) continue
    for (const { recordId, position } of ever.values()) {
      const isPassed = !isPast(position, row.position)
      if (name === 'log' && isPassed && !logged.has(recordId)) {
        throw new Violation('feed', `${recordId} at ${position.xid}.${position.seq}: the log has passed it without it`)
      }
      if (isPast(position, row.furthest) && !hot.has(recordId))
        throw new Violation('feed', `${recordId}: deleted before ${name} has read it`)
    }
  }
}

/** A copy of what latest was at some time, never of another time than it says. */
function assertTable({ database, entities }: World): void {
  const { latest, generation } = database.tables
  for (const [series, entity] of entities) {
    const row = latest.get(series)
    if (entity.generation !== generation || row === undefined) continue
    const isCopy = entity.changeNo < row.changeNo || entity.recordId === row.record.recordId
    if (!isCopy || entity.changeNo > row.changeNo) {
      throw new Violation(
        'table',
        `${series}: expected ${row.record.recordId}, got ${entity.recordId} as the same change`,
      )
    }
  }
}

/** What a caller is told is there, and is what it said. */
export function assertAnswers({ database }: World, told: readonly Told[]): void {
  for (const { fact, result } of told) {
    if (result.outcome === 'refused') continue
    const record = database.tables.ever.get(result.recordId)
    const same = record?.key === nameOf(fact) && record.fact.revision === fact.revision
    if (!same || record?.fact.checked.content !== fact.checked.content) {
      throw new Violation(
        'answer',
        `${nameOf(fact)} r${fact.revision}: ${result.outcome} as ${result.recordId}, which is not it`,
      )
    }
  }
}

export function assertCursorForward(
  lease: { readonly name: string; readonly generation: number },
  row: ConsumerRow,
  to: Position,
): void {
  const isBack = isPast(row.position, to)
  const isForeign = row.generation !== lease.generation
  if (isBack || isForeign)
    throw new Violation('zombie', `${lease.name}: its cursor was moved by who no longer holds it`)
}

/** What was there before the reader began is read, and nothing twice. */
export function assertReadOnce(before: readonly string[], records: readonly RecordRow[]): void {
  const ids = new Set(records.map(({ recordId }) => recordId))
  if (ids.size !== records.length) throw new Violation('compaction', 'a reader of both saw a record twice')
  for (const recordId of before) {
    if (!ids.has(recordId)) throw new Violation('compaction', `a reader of both did not see ${recordId}`)
  }
}

/** When faults have stopped and everything was drained. */
export function assertSettled(world: World): void {
  assertState(world)
  const { tables } = world.database
  for (const fact of tables.published) assertNotLost(tables, fact)
  assertConsumed(world)
  const expected = cellsOf([...tables.ever.values()])
  for (const cell of new Set([...expected.keys(), ...tables.rollup.keys()])) {
    const [is, found] = [expected.get(cell), tables.rollup.get(cell)]
    if (isSameCell(is, found)) continue
    throw new Violation('rollup', `${cell}: expected ${JSON.stringify(is)}, got ${JSON.stringify(found)}`)
  }
}

/** Stored, or kept where a person sees it, or still waiting for the revision before. */
function assertNotLost({ ever, rejects, outbox }: Tables, fact: Fact): void {
  const { content } = fact.checked
  const isSame = (other: Fact) =>
    nameOf(other) === nameOf(fact) && other.revision === fact.revision && other.checked.content === content
  for (const row of ever.values()) if (isSame(row.fact)) return
  for (const reject of rejects) if (isSame(reject.fact)) return
  for (const row of outbox.values()) if (isSame(row.fact)) return
  throw new Violation('lost', `${nameOf(fact)} r${fact.revision} was published and is nowhere`)
}

function assertConsumed(world: World): void {
  const { database, entities, subscriber } = world
  const { ever, latest } = database.tables
  const logged = readLog(world)
  if (new Set(logged).size !== logged.length) throw new Violation('twice', 'a reader of the log saw a record twice')
  const inLog = new Set(logged)
  for (const { recordId, fact } of ever.values()) {
    if (!inLog.has(recordId)) throw new Violation('feed', `${recordId} is not in the log`)
    if (fact.checked.tenant === subscriber.tenant && !subscriber.seen.has(recordId)) {
      throw new Violation('feed', `${recordId} was never given to whoever follows the feed`)
    }
  }
  for (const [series, { record, changeNo }] of latest) {
    const entity = entities.get(series)
    if (entity?.recordId !== record.recordId || entity.changeNo !== changeNo) {
      throw new Violation('table', `${series}: expected ${record.recordId} #${changeNo}, got ${entity?.recordId}`)
    }
  }
}
