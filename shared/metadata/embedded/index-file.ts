import { z } from 'zod'
import { createMemoryIndex, type Entry, type MemoryIndex } from './memory-index.ts'
import { recordPath } from './paths.ts'

export const INDEX_PATH = 'index.json'

const VERSION = 1

/** How far the log was read. */
export type LogPosition = { readonly segment: number; readonly bytes: number; readonly lines: number }

export const LOG_START: LogPosition = { segment: 1, bytes: 0, lines: 0 }

const text = z.string()
const textOrNull = z.string().nullable()

// In columns: a name per value would be most of the file.
const COLUMNS = [
  'series',
  'key',
  'revision',
  'content',
  'recordId',
  'effectiveAt',
  'orderedAt',
  'producerId',
  'runId',
  'jobId',
  'outcome',
  'windowStart',
  'windowEnd',
  'facets',
  'numbers',
] as const

const row = z.tuple([
  z.int().min(0),
  text,
  z.int().min(0),
  text,
  text,
  text,
  text,
  text,
  textOrNull,
  textOrNull,
  textOrNull,
  textOrNull,
  textOrNull,
  z.array(text).nullable(),
  z.record(text, z.number()).nullable(),
])

const indexFile = z.object({
  version: z.literal(VERSION),
  log: z.object({ segment: z.int().min(1), bytes: z.int().min(0), lines: z.int().min(0) }),
  series: z.array(
    z.object({
      target: z.object({ sourceId: text, schema: text, table: text }),
      kind: text,
      scope: text,
      changeNo: z.int().min(1),
      latest: z.object({ key: text, revision: z.int().min(0) }),
    }),
  ),
  records: z.array(row),
})

/** A snapshot: the catalog of all series with their latest records, and what is held in memory about every record. */
export function writeIndex(index: MemoryIndex, log: LogPosition): Uint8Array {
  const numbers = new Map<Entry['series'], number>()
  const series = [...index.allSeries()].map((one) => {
    numbers.set(one, numbers.size)
    const { target, kind, scope, changeNo, latest } = one
    if (latest === null) throw new Error(`series ${target.table} ${kind}: expected a latest record, got none`)
    const { key, revision, effectiveAt, recordId } = latest
    const path = recordPath({ ...latest, target, kind })
    return { target, kind, scope, changeNo, latest: { key, revision, effectiveAt, recordId, path } }
  })
  const head = JSON.stringify({ version: VERSION, log, series, columns: COLUMNS })
  // A record per line, for whoever looks into it.
  const rows = index.entries().map((entry) => Buffer.from(`\n${JSON.stringify(rowOf(entry, numbers))},`))
  const last = rows.at(-1)
  if (last !== undefined) rows[rows.length - 1] = last.subarray(0, -1)
  return Buffer.concat([Buffer.from(`${head.slice(0, -1)},"records":[`), ...rows, Buffer.from('\n]}\n')])
}

function rowOf(entry: Entry, numbers: ReadonlyMap<Entry['series'], number>): z.input<typeof row> {
  return [
    numbers.get(entry.series) ?? 0,
    entry.key,
    entry.revision,
    entry.content,
    entry.recordId,
    entry.effectiveAt,
    entry.orderedAt,
    entry.producerId,
    entry.runId,
    entry.jobId,
    entry.outcome,
    entry.windowStart,
    entry.windowEnd,
    entry.facets === null ? null : [...entry.facets],
    entry.numbers === null ? null : { ...entry.numbers },
  ]
}

export type ReadIndex = { readonly index: MemoryIndex; readonly log: LogPosition }

/** Null where it is no index that this version wrote: torn, or another's. The log has all that it would say. */
export function readIndex(body: Uint8Array): ReadIndex | null {
  const parsed = indexFile.safeParse(parse(body))
  if (!parsed.success) return null
  const index = createMemoryIndex()
  const series = parsed.data.series.map((one) => index.seriesOf(one))
  for (const values of parsed.data.records) {
    const entry = entryOfRow(values, series)
    if (entry === null) return null
    index.restore(entry)
  }
  for (const [place, { changeNo, latest }] of parsed.data.series.entries()) {
    const one = series[place]
    const entry = index.find(latest.key, latest.revision)
    if (one === undefined || entry?.series !== one) return null
    one.latest = entry
    one.changeNo = changeNo
  }
  return { index, log: parsed.data.log }
}

function entryOfRow(values: z.output<typeof row>, series: readonly Entry['series'][]): Entry | null {
  const [no, key, revision, content, recordId, effectiveAt, orderedAt, producerId, ...rest] = values
  const [runId, jobId, outcome, windowStart, windowEnd, facets, numbers] = rest
  const of = series[no]
  if (of === undefined) return null
  return {
    series: of,
    key,
    revision,
    content,
    recordId,
    effectiveAt,
    orderedAt,
    producerId,
    runId,
    jobId,
    outcome,
    windowStart,
    windowEnd,
    facets,
    numbers,
  }
}

function parse(body: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8'))
  } catch {
    return undefined
  }
}
