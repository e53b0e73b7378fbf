import type { Kind, State } from '../../../shared/ingest/state/state-machine.ts'
import type { Part } from './parts.ts'
import { type Body, type Counts, GRANULES, type Page, type Parsed, parse, type Row } from './records.ts'

/** Everything outside the workers: what Postgres, the lake, the queues and the provider hold. */

export type FileVersion = {
  readonly name: number
  readonly version: number
  readonly changedAt: number
  readonly body: Body
}

export type Ingest = {
  readonly id: number
  readonly kind: Kind
  readonly lane: 'live' | 'lookback' | 'import' | 'reprocess'
  readonly lo: number | null
  hi: number | null
  readonly file: FileVersion | null
  /** Of a rebuild. */
  readonly partition: number | null
  readonly byMark: boolean
  state: State
  epoch: number
  landedEpoch: number | null
  attempts: number
  transformVersion: number
  /** `next_attempt_at` lies in the future. */
  waiting: boolean
  /** `queued_at`: empty, younger or older than the host's message lock. */
  queued: 'no' | 'fresh' | 'stale'
  leaseExpired: boolean
  records: number
  supersededBy: number | null
  withdrawn: boolean
  /** Of a lookback: the stream's head when it was planned. */
  readonly head: number
}

export type RawPageRow = {
  readonly ingest: number
  readonly epoch: number
  readonly pageNo: number
  readonly path: string
  readonly observedAt: number
}

/** A row of curated.partition_ingest. Transform version 0: listed, not yet counted. */
export type Listed = {
  readonly ingest: number
  readonly partition: number
  readonly landedEpoch: number
  readonly transformVersion: number
  readonly counts: Counts
}

export type PartitionRow = { readonly etag: number; readonly blobVersion: number; readonly bytes: string }

export type Postgres = {
  /** Coverage: whether granule g is fetched, published. */
  readonly fetched: boolean[]
  readonly published: boolean[]
  held: boolean
  readonly ingests: Ingest[]
  readonly rawPages: RawPageRow[]
  readonly listed: Map<string, Listed>
  readonly partitions: (PartitionRow | null)[]
}

export type CuratedFile = PartitionRow & { readonly transformVersion: number; readonly rows: readonly Row[] }

export type Message = { readonly queue: 'land' | 'curate'; readonly ingest: number }

/** What the provider does instead of its next answer. */
export type Mood = 'well' | 'throttling' | 'broken' | 'too large'

export type World = {
  readonly without: Part | null
  readonly postgres: Postgres
  readonly raw: Map<string, Body>
  readonly curated: (CuratedFile | null)[]
  readonly queue: Message[]
  /** What the provider says of each granule; 0 is nothing. */
  readonly provider: { readonly values: number[]; mood: Mood }
  /** Database time: moves with every claim, by more than an answer has pages. */
  clock: number
  /** The end of what may be planned. */
  end: number
  newestTransformVersion: number
  /** The next answer that lands is one that the guard does not like. */
  guardAlarmed: boolean
  etag: number
  /** Partitions whose file a person took away, until somebody writes it again; and all that ever were. */
  readonly missing: Set<number>
  readonly onceMissing: Set<number>
  /** What the first effective PUT of an ingest counted, while rows of it stay in the file. */
  readonly firstCounts: Map<string, { readonly counts: Counts; readonly transformVersion: number }>
  /** Landed pages never change, so they are parsed once per transform version. */
  readonly parsed: Map<number, Parsed>
  readonly trace: string[] | null
}

export function newWorld(without: Part | null, trace: string[] | null): World {
  return {
    without,
    postgres: {
      fetched: Array<boolean>(GRANULES).fill(false),
      published: Array<boolean>(GRANULES).fill(false),
      held: false,
      ingests: [],
      rawPages: [],
      listed: new Map(),
      partitions: [null, null],
    },
    raw: new Map(),
    curated: [null, null],
    queue: [],
    provider: { values: [1, 2, 3, 6], mood: 'well' },
    clock: 10,
    end: 2,
    newestTransformVersion: 1,
    guardAlarmed: false,
    etag: 0,
    missing: new Set(),
    onceMissing: new Set(),
    firstCounts: new Map(),
    parsed: new Map(),
    trace,
  }
}

export function ingestOf(world: World, id: number): Ingest {
  const ingest = world.postgres.ingests[id]
  if (ingest === undefined) throw new Error(`ingest ${id}: expected one of ${world.postgres.ingests.length}, got none`)
  return ingest
}

export function listKey(ingest: number, partition: number): string {
  return `${ingest}/${partition}`
}

export function isCurrent({ supersededBy, withdrawn }: Ingest): boolean {
  return supersededBy === null && !withdrawn
}

export function windowOf({ lo, hi }: Ingest): { readonly lo: number; readonly hi: number } | null {
  return lo === null || hi === null ? null : { lo, hi }
}

/** What an ingest brings, by the pages of one attempt (null: of all) and one transform. */
export function parseIngest(world: World, id: number, epoch: number | null, transformVersion: number): Parsed {
  const place = (id * 100 + (epoch ?? 0)) * 2 + transformVersion - 1
  const known = epoch === null ? undefined : world.parsed.get(place)
  if (known !== undefined) return known
  const window = windowOf(ingestOf(world, id))
  const parsed = parse(pagesOf(world, id, epoch), { by: id, window, transformVersion, without: world.without })
  world.parsed.set(place, parsed)
  return parsed
}

/** The raw pages of one attempt, or of every attempt, in the order of the manifest. */
export function pagesOf(world: World, ingest: number, epoch: number | null): readonly Page[] {
  const pages: Page[] = []
  for (const row of world.postgres.rawPages) {
    if (row.ingest !== ingest || (epoch !== null && row.epoch !== epoch)) continue
    const body = world.raw.get(row.path)
    if (body === undefined) throw new Error(`raw page ${row.path}: expected it in the lake, got none`)
    pages.push({ pageNo: row.pageNo, observedAt: row.observedAt, body })
  }
  return pages
}

export function note(world: World, line: string): void {
  world.trace?.push(line)
}
