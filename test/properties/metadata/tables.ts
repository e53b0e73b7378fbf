import type { RecordProblem } from '../../../shared/metadata/model/problem.ts'
import type { StoreResult } from '../../../shared/metadata/model/repository.ts'
import type { Fact } from './facts.ts'

/** The tables of the schema `metadata`. Rows are never changed, only replaced: a backup is a copy of the maps. */

export type Position = { readonly xid: number; readonly seq: number }

export const START: Position = { xid: 0, seq: 0 }

export function isPast(a: Position, b: Position): boolean {
  return a.xid > b.xid || (a.xid === b.xid && a.seq > b.seq)
}

export type KeyRow = {
  readonly recordId: string
  readonly fact: Fact
  readonly ordered: number
  /** The commit that made it visible. */
  readonly since: number
}

export type RecordRow = {
  readonly recordId: string
  readonly fact: Fact
  /** Tenant and key: the fact that it is a revision of. */
  readonly key: string
  /** Key and revision; of the revision before, null for a first one. */
  readonly name: string
  readonly before: string | null
  readonly effective: number
  readonly ordered: number
  readonly xid: number
  readonly position: Position
  /** Of `stored_at`. */
  readonly day: number
}

export type LatestRow = { readonly record: RecordRow; readonly changeNo: number }

export type OutboxRow = { readonly outboxId: number; readonly fact: Fact; readonly createdDay: number }

export type Reject = { readonly fact: Fact; readonly code: RecordProblem['code'] }

export type Told = { readonly fact: Fact; readonly result: StoreResult }

export type ConsumerName = 'log' | 'table' | 'rollup'

export type ConsumerRow = {
  readonly position: Position
  /** No column, but for the oracle: how far it ever was. Ahead of `position` once it has begun again after a restore. */
  readonly furthest: Position
  readonly generation: number
  readonly epoch: number
  readonly lease: 'free' | 'held' | 'expired'
}

export type CellRow = { readonly count: number; readonly total: number }

export type Tables = {
  readonly keys: Map<string, KeyRow>
  /** metadata.record. */
  readonly hot: Map<string, RecordRow>
  readonly latest: Map<string, LatestRow>
  readonly outbox: Map<number, OutboxRow>
  /** Rows of the outbox that wait: for the revision before, or for whoever has leased them. */
  readonly waiting: Set<number>
  readonly rejects: Reject[]
  readonly consumers: Map<ConsumerName, ConsumerRow>
  readonly rollup: Map<string, CellRow>
  /** The boundary: records of earlier days are in files. */
  below: number
  generation: number
  nextXid: number
  nextSeq: number
  /** No table, but what the oracle knows of this past: every record that was ever stored, every fact handed over. */
  readonly ever: Map<string, RecordRow>
  readonly published: Fact[]
}

const CONSUMERS: readonly ConsumerName[] = ['log', 'table', 'rollup']

export function newTables(): Tables {
  const consumer: ConsumerRow = { position: START, furthest: START, generation: 0, epoch: 0, lease: 'free' }
  return {
    keys: new Map(),
    hot: new Map(),
    latest: new Map(),
    outbox: new Map(),
    waiting: new Set(),
    rejects: [],
    consumers: new Map(CONSUMERS.map((name) => [name, consumer])),
    rollup: new Map(),
    below: 0,
    generation: 0,
    nextXid: 1,
    nextSeq: 1,
    ever: new Map(),
    published: [],
  }
}

export function copyTables(tables: Tables): Tables {
  return {
    ...tables,
    keys: new Map(tables.keys),
    hot: new Map(tables.hot),
    latest: new Map(tables.latest),
    outbox: new Map(tables.outbox),
    waiting: new Set(tables.waiting),
    rejects: [...tables.rejects],
    consumers: new Map(tables.consumers),
    rollup: new Map(tables.rollup),
    ever: new Map(tables.ever),
    published: [...tables.published],
  }
}

/** The order of a series. */
export function isLater(a: RecordRow, b: RecordRow): boolean {
  if (a.effective !== b.effective) return a.effective > b.effective
  if (a.ordered !== b.ordered) return a.ordered > b.ordered
  if (a.fact.revision !== b.fact.revision) return a.fact.revision > b.fact.revision
  return a.recordId > b.recordId
}
