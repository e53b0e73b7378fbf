import { ByteWriter, ParquetWriter } from 'hyparquet-writer'
import { columnEncoding, parquetSchema, ROW_GROUP_ROWS } from '../../shared/curated/parquet-schema.ts'
import { allColumns, type Dataset } from '../../shared/datasets/contract.ts'
import { columnOf, type RowBatch } from '../../shared/datasets/row-batch.ts'

/** A curated file through hyparquet-writer's own front door; `change` may spoil it before its footer is written. */
export function writtenByLibrary(
  dataset: Dataset,
  rows: RowBatch,
  {
    rowGroupSize = ROW_GROUP_ROWS,
    codec = 'SNAPPY',
    change = () => {},
  }: {
    readonly rowGroupSize?: number
    readonly codec?: 'SNAPPY' | 'UNCOMPRESSED'
    readonly change?: (writer: ParquetWriter) => void
  } = {},
): Uint8Array {
  const bytes = new ByteWriter()
  const writer = new ParquetWriter({
    writer: bytes,
    schema: parquetSchema(dataset),
    codec,
    statisticsTruncateLength: 64,
    createdBy: 'tributary version 1',
    kvMetadata: [
      { key: 'dataset', value: dataset.name },
      { key: 'contract_version', value: String(dataset.contractVersion) },
      { key: 'transform_version', value: '3' },
    ],
  })
  const columnData = allColumns(dataset).map((column) => ({
    name: column.name,
    data: columnOf(rows, column.name).slice(),
    encoding: columnEncoding(column),
  }))
  writer.write({ columnData, rowGroupSize })
  change(writer)
  writer.finish()
  return bytes.getBytes()
}
