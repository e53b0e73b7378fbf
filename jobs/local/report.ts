import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { decodePartition } from '../../shared/curated/parquet-reader.ts'
import { DATASETS } from '../../shared/datasets/registry.ts'
import { formatDate, formatInstant, type Instant } from '../../shared/instant.ts'
import type { Status } from '../../shared/ops/status.ts'
import type { Platform } from '../../shared/platform.ts'
import type { Statement } from '../../shared/postgres/database.ts'
import { count, table } from '../table.ts'

const PARTITIONS: Statement = {
  name: 'partitions_to_report',
  text: `
select p.dataset, p.path, p.rows, p.bytes, concat_ws('/', s.source, s.dataset, s.subject, s.timeframe) as stream
  from curated.partition p join ingest.stream s using (stream_id)
 order by p.path`,
}

type Partition = {
  readonly dataset: string
  readonly path: string
  readonly rows: number
  readonly bytes: number
  readonly stream: string
}

const FIRST_ROWS = 5
const COLUMNS_SHOWN = 8

/** What is there now, for a person: streams, coverage, files, the first rows, and how to query them. */
export async function describeLake(platform: Platform, status: Status, folder: string): Promise<string> {
  const partitions = await platform.db.query<Partition>(PARTITIONS)
  const lines = [
    table(
      ['stream', 'rows', 'files', 'published', 'missing'],
      status.streams.map((stream) => [
        stream.stream,
        count(stream.rows),
        count(stream.files),
        stream.published.map(({ lo, hi }) => `${lo.slice(0, 10)} … ${hi.slice(0, 10)}`).join(', ') || 'nothing yet',
        stream.paused ? `paused: ${stream.pausedReason}` : missing(stream.holes),
      ]),
    ),
  ]
  const [first] = partitions
  if (first !== undefined) {
    const bytes = partitions.reduce((sum, partition) => sum + partition.bytes, 0)
    lines.push('', `${partitions.length} files, ${count(bytes)} bytes, below ${folder}`, `first: ${first.path}`)
    lines.push('', await firstRows(join(folder, first.path), first.dataset))
    lines.push('', 'query them with DuckDB:', '', `  ${duckdbQuery(folder, first.path)}`)
  }
  return lines.join('\n')
}

function missing(holes: Status['streams'][number]['holes']): string {
  const [first] = holes
  if (first === undefined) return 'nothing'
  const rest = holes.length === 1 ? '' : ` and ${holes.length - 1} more`
  return `${first.lo.slice(0, 10)} … ${first.hi.slice(0, 10)} ${first.reason.slice(0, 120)}${rest}`
}

/** One line that reads all files of the first file's table: those at one depth below `dataset=`. */
export function duckdbQuery(folder: string, path: string): string {
  const parts = path.split('/')
  const root = parts
    .slice(
      0,
      parts.findIndex((part) => part.startsWith('symbol=')),
    )
    .join('/')
  const glob = `${join(folder, root)}/**/*.parquet`.replaceAll("'", "''")
  return `select symbol, count(*) as rows, min(ts) as first, max(ts) as last from read_parquet('${glob}') group by symbol;`
}

async function firstRows(path: string, datasetName: string): Promise<string> {
  const dataset = DATASETS.get(datasetName)
  if (dataset === undefined) return ''
  const { rows } = decodePartition({ dataset, bytes: await readFile(path) })
  const columns = dataset.columns.slice(0, COLUMNS_SHOWN)
  const values: string[][] = []
  for (let row = 0; row < Math.min(FIRST_ROWS, rows.rowCount); row++) {
    values.push(columns.map(({ name, type }) => show(type, rows.columns[name]?.[row] ?? null)))
  }
  return table(
    columns.map(({ name }) => name),
    values,
  )
}

function show(type: string, value: bigint | number | string | null): string {
  if (value === null) return 'null'
  if (type === 'instant') return formatInstant(value as Instant)
  if (type === 'date') return formatDate(value as number)
  return String(value)
}
