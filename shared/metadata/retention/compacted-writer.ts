import { createHash } from 'node:crypto'
import type { SchemaElement } from 'hyparquet'
import { ByteWriter, ParquetWriter } from 'hyparquet-writer'
import { encodeColumn } from '../../curated/column-encoder.ts'
import { CREATED_BY, STATISTICS_TEXT_BYTES } from '../../curated/parquet-writer.ts'
import type { Column } from '../../datasets/contract.ts'
import type { ColumnData } from '../../datasets/row-batch.ts'
import {
  COMPACTED_COLUMNS,
  COMPACTED_VERSION,
  type CompactedRow,
  columnsOf,
  compactedSchema,
} from './compacted-columns.ts'

/** What a reader holds at once: rows of some hundred bytes, or few of the largest that there may be. */
const GROUP_ROWS = 10_000
const GROUP_BODY_CHARS = 16 * 1024 * 1024
const CHUNK_BYTES = 8 * 1024 * 1024

/** A file, once all of its chunks were taken. */
export type WrittenFile = { readonly rows: number; readonly bytes: number; readonly sha256: string }

/**
 * The rows as a Parquet file, chunk by chunk: one row group is in memory, whatever there is in the day. The same rows
 * give the same bytes; row groups do not depend on the pages that rows come in. Returns what was written.
 */
export async function* encodeCompacted(
  pages: AsyncIterable<readonly CompactedRow[]>,
): AsyncGenerator<Uint8Array, WrittenFile> {
  const hash = createHash('sha256')
  const writer = new ByteWriter()
  const parquet = new ParquetWriter({
    writer,
    schema: compactedSchema(),
    statisticsTruncateLength: STATISTICS_TEXT_BYTES,
    createdBy: CREATED_BY,
    kvMetadata: [{ key: 'compacted_version', value: COMPACTED_VERSION }],
  })
  const take = () => {
    const chunk = writer.getBytes().slice()
    writer.index = 0
    hash.update(chunk)
    return chunk
  }
  for await (const group of groupsOf(pages)) {
    writeGroup(parquet, writer, group)
    if (writer.index >= CHUNK_BYTES) yield take()
  }
  if (parquet.num_rows === 0n) throw new Error('compacted file: expected records, got none')
  parquet.finish()
  yield take()
  return { rows: Number(parquet.num_rows), bytes: writer.offset, sha256: hash.digest('hex') }
}

async function* groupsOf(pages: AsyncIterable<readonly CompactedRow[]>): AsyncGenerator<readonly CompactedRow[]> {
  let group: CompactedRow[] = []
  let chars = 0
  for await (const page of pages) {
    for (const row of page) {
      group.push(row)
      chars += row.body.length
      if (group.length < GROUP_ROWS && chars < GROUP_BODY_CHARS) continue
      yield group
      group = []
      chars = 0
    }
  }
  if (group.length > 0) yield group
}

function writeGroup(parquet: ParquetWriter, writer: ByteWriter, rows: readonly CompactedRow[]): void {
  const start = writer.offset
  const [, ...elements] = compactedSchema()
  const data = columnsOf(rows)
  const columns = COMPACTED_COLUMNS.map((column: Column, index) =>
    encodeColumn(writer, column, elements[index] as SchemaElement, data[index] as ColumnData),
  )
  parquet.num_rows += BigInt(rows.length)
  parquet.row_groups.push({
    columns,
    num_rows: BigInt(rows.length),
    total_byte_size: columns.reduce((bytes, { meta_data }) => bytes + (meta_data?.total_uncompressed_size ?? 0n), 0n),
    total_compressed_size: BigInt(writer.offset - start),
  })
}
