import { Database } from './database.ts'
import { type Fact, nameOf } from './facts.ts'
import type { Part } from './parts.ts'
import { newTables, type Position, type RecordRow, type Tables } from './tables.ts'

/** Everything outside the workers: PostgreSQL, the log, the table, the compacted files, who follows the feed. */
export type World = {
  readonly without: Part | null
  readonly database: Database
  /** Blob `metadata/log`, ids as they were appended. */
  readonly log: string[]
  readonly entities: Map<string, Entity>
  /** By tenant and day, immutable. */
  readonly files: Map<string, readonly RecordRow[]>
  readonly subscriber: Subscriber
  backup: Backup | null
  nextId: number
  etag: number
  /** What the oracle has looked at: what did not change since need not be looked at again. */
  checked: Checked
  readonly trace: string[] | null
}

export type Checked = {
  readonly commits: number
  readonly hot: number
  readonly below: number
  readonly logAt: Position | null
  readonly etag: number
}

/** Of `MetadataLatest`. */
export type Entity = {
  readonly recordId: string
  readonly changeNo: number
  readonly generation: number
  readonly etag: number
}

/** Somebody outside who follows `GET /feed`, as one tenant, and keeps its cursor. */
export type Subscriber = {
  readonly tenant: string
  /** Null: from what is hot. */
  cursor: Cursor | null
  readonly seen: Set<string>
}

export type Cursor = {
  readonly position: Position
  readonly generation: number
  /** The day on which what follows could not be read yet. */
  readonly asOf: number
}

export type Backup = { readonly tables: Tables; readonly files: number }

export function newWorld(without: Part | null, trace: string[] | null, subscribes: string): World {
  return {
    without,
    database: new Database(newTables()),
    log: [],
    entities: new Map(),
    files: new Map(),
    subscriber: { tenant: subscribes, cursor: null, seen: new Set() },
    backup: null,
    nextId: 1,
    etag: 0,
    checked: { commits: -1, hot: 0, below: 0, logAt: null, etag: 0 },
    trace,
  }
}

/** Ids sort as they were given, like UUIDv7. */
export function newRecordId(world: World): string {
  return String(world.nextId++).padStart(5, '0')
}

export function filePath(tenant: string, day: number): string {
  return `${tenant}/${day}`
}

export function note(world: World, line: string): void {
  world.trace?.push(line)
}

/** The log as its readers give it: in order, each id once. */
export function readLog({ log, without }: World): readonly string[] {
  return without === 'the log takes no damage from repeats' ? log : [...new Set(log)]
}

export function keyName(world: World, fact: Fact, revision: number): string {
  const name = nameOf(fact)
  const tenantless = world.without === 'tenants have keys of their own'
  return `${tenantless ? name.slice(name.indexOf('/')) : name} r${revision}`
}
