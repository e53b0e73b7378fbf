import { readPartitionFile } from '../curated/partition-file.ts'
import { partitionOf } from '../curated/partition-path.ts'
import { type Column, type Dataset, PROVENANCE_COLUMNS } from '../datasets/contract.ts'
import { DATASETS } from '../datasets/registry.ts'
import { columnOf, type RowBatch } from '../datasets/row-batch.ts'
import { ConfigError } from '../errors.ts'
import type { SelectedStream } from '../ingest/plan/select-streams.ts'
import { formatDate, formatInstant, type Instant, instantOfDate, parseDate, parseInstant } from '../instant.ts'
import { canonicalJson } from '../json.ts'
import type { Platform } from '../platform.ts'

/** One value as text says it: instants and dates as ISO, integers of 64 bits as digits. */
export type ShownValue = string | number | null
export type ShownRow = Readonly<Record<string, ShownValue>>

export type FoundRow = {
  readonly path: string
  readonly dataset: Dataset
  readonly partitionKey: string
  readonly blobVersion: number
  readonly transformVersion: number
  /** Business columns. */
  readonly values: ShownRow
  readonly observedAt: Instant
  readonly rawSha256: string
  readonly rawRow: number
}

/** A column and the value that is looked for, as a person wrote it: `ts=2001-09-17`. */
export type KeyPart = { readonly column: string; readonly value: string }

export type PartitionPlace = { readonly dataset: Dataset; readonly partitionKey: string; readonly path: string }

/** Which partition a curated path names; a container, a mirror's folder or a URL before it may stay. Throws ConfigError. */
export function partitionPlaceOf(text: string): PartitionPlace {
  const [path, name, partitionKey] = /dataset=([^/]+)\/(.+)\.parquet$/.exec(text) ?? []
  const dataset = DATASETS.get(name ?? '')
  if (path !== undefined && partitionKey !== undefined && dataset !== undefined) return { dataset, partitionKey, path }
  throw new ConfigError([`path: expected one of a curated file, dataset=…/….parquet, got "${text}"`])
}

/** The partition of a stream that holds the instant that the key names. Throws ConfigError. */
export function partitionPlaceAt(stream: SelectedStream, key: readonly KeyPart[]): PartitionPlace {
  const dataset = DATASETS.get(stream.dataset)
  if (dataset === undefined)
    throw new ConfigError([`stream ${stream.name}: expected a known dataset, got ${stream.dataset}`])
  const { eventTime } = dataset
  const time = key.find(({ column }) => column === eventTime)
  if (time === undefined) {
    throw new ConfigError([`--key: expected ${eventTime}=… to find the file of ${stream.name}, got ${shownKey(key)}`])
  }
  const instant = parseValue(columnNamed(dataset, eventTime), time.value) as Instant
  const { partitionKey, path } = partitionOf(dataset, { ...stream, timeframe: stream.timeframe ?? undefined }, instant)
  return { dataset, partitionKey, path }
}

/** The one row that has all these values. Throws ConfigError where there is none, or more than one. */
export async function findRow(
  { curated }: Pick<Platform, 'curated'>,
  { dataset, partitionKey, path }: PartitionPlace,
  key: readonly KeyPart[],
): Promise<FoundRow> {
  if (key.length === 0) throw new ConfigError([`--key: expected ${dataset.key.join('=… ')}=…, got none`])
  const wanted = key.map(({ column, value }) => ({ column, value: parseValue(columnNamed(dataset, column), value) }))
  const file = await readPartitionFile(curated, dataset, path)
  if (file.kind !== 'file') {
    const came = file.kind === 'broken' ? file.problem : file.kind === 'absent' ? 'none' : 'one of an older contract'
    throw new ConfigError([
      `curated file ${path}: expected one that can be read, got ${came}; tributary fsck says more`,
    ])
  }
  const matches: number[] = []
  for (let row = 0; row < file.rows.rowCount; row++) {
    if (wanted.every(({ column, value }) => columnOf(file.rows, column)[row] === value)) matches.push(row)
  }
  const [row] = matches
  if (row === undefined || matches.length > 1) {
    const came = matches.length === 0 ? `none of ${file.rows.rowCount}` : `${matches.length}`
    throw new ConfigError([`${path}: expected one row with ${shownKey(key)}, got ${came}`])
  }
  const { blobVersion, transformVersion, rows } = file
  return { path, dataset, partitionKey, blobVersion, transformVersion, ...readRow(dataset, rows, row) }
}

function readRow(dataset: Dataset, rows: RowBatch, row: number) {
  return {
    values: shownRow(dataset, rows, row),
    observedAt: columnOf(rows, PROVENANCE_COLUMNS[0].name)[row] as Instant,
    rawSha256: columnOf(rows, PROVENANCE_COLUMNS[1].name)[row] as string,
    rawRow: columnOf(rows, PROVENANCE_COLUMNS[2].name)[row] as number,
  }
}

/** Business columns of one row. */
export function shownRow(dataset: Dataset, rows: RowBatch, row: number): ShownRow {
  return Object.fromEntries(
    dataset.columns.map((column) => [column.name, shownValue(column, columnOf(rows, column.name)[row] ?? null)]),
  )
}

export function equalRows(a: ShownRow, b: ShownRow): boolean {
  return canonicalJson(a) === canonicalJson(b)
}

function shownValue({ type }: Column, value: bigint | number | string | null): ShownValue {
  if (typeof value === 'bigint') return type === 'instant' ? formatInstant(value) : value.toString()
  // JSON has no word for NaN, and two of them are the same value here.
  if (typeof value === 'number')
    return type === 'date' ? formatDate(value) : Number.isFinite(value) ? value : String(value)
  return value
}

function columnNamed(dataset: Dataset, name: string): Column {
  const column = dataset.columns.find((one) => one.name === name)
  if (column !== undefined) return column
  const known = dataset.columns.map((one) => one.name).join(', ')
  throw new ConfigError([`--key: expected a column of ${dataset.name} (${known}), got ${name}`])
}

function parseValue({ name, type }: Column, text: string): bigint | number | string {
  const date = parseDate(text)
  const value =
    type === 'string'
      ? text
      : type === 'instant'
        ? date === undefined
          ? parseInstant(text)
          : instantOfDate(date)
        : type === 'date'
          ? date
          : type === 'int64'
            ? wholeNumber(text)
            : finiteNumber(text)
  if (value !== undefined) return value
  throw new ConfigError([`--key: expected ${name} as ${type}, got "${text}"`])
}

const wholeNumber = (text: string) => (/^-?\d{1,19}$/.test(text) ? BigInt(text) : undefined)
const finiteNumber = (text: string) => (text !== '' && Number.isFinite(Number(text)) ? Number(text) : undefined)

function shownKey(key: readonly KeyPart[]): string {
  return key.map(({ column, value }) => `${column}=${value}`).join(' ') || 'none'
}
