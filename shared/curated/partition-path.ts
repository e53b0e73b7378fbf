import { allColumns, type Dataset, type Granularity } from '../datasets/contract.ts'
import { columnOf, type RowBatch, sliceRows, takeRows } from '../datasets/row-batch.ts'
import { PermanentError } from '../errors.ts'
import { type Instant, instantOfDate, MICROS_PER_DAY } from '../instant.ts'
import { encodePathPart } from '../path-part.ts'

/** What a stream is to the lake: where its files lie. No two streams have the same place. */
export type StreamPlace = {
  /** Name of the dataset. */
  readonly dataset: string
  readonly source: string
  readonly subject: string
  readonly timeframe?: string | undefined
}

export type Partition = {
  /** The path after `dataset=<d>/`, without `.parquet`. */
  readonly partitionKey: string
  /** Name of the blob in the container `curated`. */
  readonly path: string
  /** The partition holds the rows of `[lo, hi)`. */
  readonly lo: Instant
  readonly hi: Instant
}

export type PartitionRows = Pick<Partition, 'partitionKey' | 'path'> & { readonly rows: RowBatch }

/** Names everything of the curated zone that one stream may write: equal for no two streams. */
export function curatedRoot(place: StreamPlace): string {
  return `${datasetFolder(place)}${streamFolder(place)}${partName(place)}`
}

/** The partition that `instant` belongs to. Throws outside the years 0000 to 9999, which a path cannot name. */
export function partitionOf(dataset: Dataset, place: StreamPlace, instant: Instant): Partition {
  if (dataset.name !== place.dataset) {
    throw new Error(`partition of ${place.dataset}: expected its contract, got that of ${dataset.name}`)
  }
  const { folder, lo, hi } = period(dataset.partitionBy(place), instant)
  const partitionKey = `${streamFolder(place)}${folder}/${partName(place)}`
  return { partitionKey, path: partitionPath(place.dataset, partitionKey), lo, hi }
}

/** Name of the blob of a partition of `dataset`. */
export function partitionPath(dataset: string, partitionKey: string): string {
  return `${datasetFolder({ dataset })}${partitionKey}.parquet`
}

/** The rows of each partition, partitions in the order of time, rows in the order in which they came. */
export function splitByPartition(dataset: Dataset, place: StreamPlace, batch: RowBatch): readonly PartitionRows[] {
  const instants = columnOf(batch, dataset.eventTime)
  if (!(instants instanceof BigInt64Array)) {
    throw new Error(`rows of ${dataset.name}: expected ${dataset.eventTime} as a BigInt64Array, got another array`)
  }
  const columns = allColumns(dataset).filter((column) => batch.columns[column.name] !== undefined)
  return partitionRuns(dataset, place, instants)
    .sort((a, b) => (a.partition.lo < b.partition.lo ? -1 : 1))
    .map(({ partition: { partitionKey, path }, runs }) => ({ partitionKey, path, rows: rowsOf(batch, columns, runs) }))
}

/** Half-open ranges of row numbers. */
type Runs = { readonly start: number; readonly end: number }[]

/** Rows come mostly in order of time, so a partition is few ranges of rows, found without a lookup per row. */
function partitionRuns(dataset: Dataset, place: StreamPlace, instants: BigInt64Array) {
  const found = new Map<string, { readonly partition: Partition; readonly runs: Runs }>()
  let start = 0
  while (start < instants.length) {
    const partition = partitionOf(dataset, place, instants[start] as bigint)
    let end = start + 1
    while (
      end < instants.length &&
      partition.lo <= (instants[end] as bigint) &&
      (instants[end] as bigint) < partition.hi
    ) {
      end++
    }
    const known = found.get(partition.partitionKey)
    if (known) known.runs.push({ start, end })
    else found.set(partition.partitionKey, { partition, runs: [{ start, end }] })
    start = end
  }
  return [...found.values()]
}

function rowsOf(batch: RowBatch, columns: Parameters<typeof takeRows>[1], runs: Runs): RowBatch {
  const [first] = runs
  if (first && runs.length === 1) return sliceRows(batch, columns, first.start, first.end)
  const indexes = new Int32Array(runs.reduce((rows, { start, end }) => rows + end - start, 0))
  let row = 0
  for (const { start, end } of runs) for (let index = start; index < end; index++) indexes[row++] = index
  return takeRows(batch, columns, indexes)
}

const datasetFolder = (place: Pick<StreamPlace, 'dataset'>) => `dataset=${encodePathPart(place.dataset)}/`

const partName = (place: StreamPlace) => `part-${encodePathPart(place.source)}`

function streamFolder({ timeframe, subject }: StreamPlace): string {
  const timeframeFolder = timeframe === undefined ? '' : `timeframe=${encodePathPart(timeframe)}/`
  return `${timeframeFolder}symbol=${encodePathPart(subject)}/`
}

function period(granularity: Granularity, instant: Instant) {
  const days = Number((instant - (((instant % MICROS_PER_DAY) + MICROS_PER_DAY) % MICROS_PER_DAY)) / MICROS_PER_DAY)
  const date = new Date(days * 86_400_000)
  const year = date.getUTCFullYear()
  if (!(year >= 0 && year <= 9999)) {
    throw new PermanentError(`partition: expected an instant in the years 0000 to 9999, got ${instant} µs since 1970`)
  }
  const yearFolder = `year=${String(year).padStart(4, '0')}`
  if (granularity === 'year') return { folder: yearFolder, lo: firstOf(year, 0), hi: firstOf(year + 1, 0) }
  const month = date.getUTCMonth()
  const folder = `${yearFolder}/month=${String(month + 1).padStart(2, '0')}`
  return { folder, lo: firstOf(year, month), hi: firstOf(year, month + 1) }
}

/** `setUTCFullYear` and not `Date.UTC`, which takes the years 0 to 99 for 1900 to 1999. */
function firstOf(year: number, month: number): Instant {
  const date = new Date(0)
  date.setUTCFullYear(year, month, 1)
  return instantOfDate(date.getTime() / 86_400_000)
}
