import type { RowGroup, SchemaElement } from 'hyparquet'
import { ByteWriter, ParquetWriter } from 'hyparquet-writer'
import { allColumns, type Dataset } from '../datasets/contract.ts'
import { assertColumns, columnOf, type RowBatch, sliceRows } from '../datasets/row-batch.ts'
import { PermanentError } from '../errors.ts'
import { encodeColumn } from './column-encoder.ts'
import { FILE_ROWS_MAX, METADATA_KEYS, parquetSchema, ROW_GROUP_ROWS } from './parquet-schema.ts'
import { assertKeyOrder } from './row-order.ts'

// Bounds of text in the statistics are cut here; the format marks a cut one as inexact.
export const STATISTICS_TEXT_BYTES = 64
const THRIFT_STRUCT = 12

// `<name> version <n>`: parquet-mr ignores bounds of text by a writer whose name it cannot read. The number grows when
// the bytes of equal rows change: with hyparquet-writer's version or with anything here.
export const CREATED_BY = 'tributary version 1'

/**
 * One curated file. The same rows and version give the same bytes on every machine; nothing of the moment or the run
 * goes in. The rows are in key order.
 */
export function encodePartition({
  dataset,
  rows,
  transformVersion,
}: {
  readonly dataset: Dataset
  readonly rows: RowBatch
  readonly transformVersion: number
}): Uint8Array {
  const columns = allColumns(dataset)
  assertColumns(rows, columns)
  assertKeyOrder(dataset, rows)
  if (rows.rowCount > FILE_ROWS_MAX) {
    throw new PermanentError(
      `partition of ${dataset.name}: expected at most ${FILE_ROWS_MAX} rows, got ${rows.rowCount}`,
    )
  }
  const writer = new ByteWriter()
  const parquet = new ParquetWriter({
    writer,
    schema: parquetSchema(dataset),
    statisticsTruncateLength: STATISTICS_TEXT_BYTES,
    createdBy: CREATED_BY,
    kvMetadata: [
      { key: METADATA_KEYS.dataset, value: dataset.name },
      { key: METADATA_KEYS.contract, value: String(dataset.contractVersion) },
      { key: METADATA_KEYS.transform, value: String(transformVersion) },
    ],
  })
  for (let start = 0; start < rows.rowCount; start += ROW_GROUP_ROWS) {
    const end = Math.min(start + ROW_GROUP_ROWS, rows.rowCount)
    parquet.row_groups.push(writeRowGroup(writer, dataset, sliceRows(rows, columns, start, end)))
    parquet.num_rows += BigInt(end - start)
  }
  parquet.finish()
  return rows.rowCount === 0 ? withTypedGroupList(writer.getBytes()) : writer.getBytes()
}

function writeRowGroup(writer: ByteWriter, dataset: Dataset, rows: RowBatch): RowGroup {
  const start = writer.offset
  const [, ...elements] = parquetSchema(dataset)
  const columns = allColumns(dataset).map((column, index) =>
    encodeColumn(writer, column, elements[index] as SchemaElement, columnOf(rows, column.name)),
  )
  return {
    columns,
    num_rows: BigInt(rows.rowCount),
    total_byte_size: columns.reduce((bytes, { meta_data }) => bytes + (meta_data?.total_uncompressed_size ?? 0n), 0n),
    total_compressed_size: BigInt(writer.offset - start),
  }
}

/**
 * hyparquet-writer takes the type of a list from its first element and writes none for the empty list of row groups,
 * which Arrow refuses. In the footer the list follows `num_rows`, field 3, an i64 of 0: 16 00 19, then the list's head.
 */
function withTypedGroupList(bytes: Uint8Array): Uint8Array {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const place = file.indexOf(Buffer.of(0x16, 0x00, 0x19, 0x00))
  if (place < 0) throw new Error('empty file: expected an untyped list of row groups in its footer, got none')
  file[place + 3] = THRIFT_STRUCT
  return bytes
}
