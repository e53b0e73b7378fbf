import { type FileMetaData, parquetMetadata, type SchemaElement } from 'hyparquet'
import { allColumns, type Column, type Dataset } from '../datasets/contract.ts'
import type { ColumnData, RowBatch } from '../datasets/row-batch.ts'
import { OutdatedError, PermanentError, toError } from '../errors.ts'
import { decodeColumn } from './column-decoder.ts'
import { FILE_ROWS_MAX, METADATA_KEYS, parquetSchema, ROW_GROUP_ROWS } from './parquet-schema.ts'
import { assertKeyOrder } from './row-order.ts'
import { readThriftStruct } from './thrift-struct.ts'

/** Not a file that this platform wrote for the dataset, or a damaged one. Says what was expected and what came. */
export class CuratedFileError extends PermanentError {
  override readonly name = 'CuratedFileError'
}

export type PartitionVersions = { readonly contractVersion: number; readonly transformVersion: number }

/**
 * The rows of a curated file, in key order. Reads only what `encodePartition` writes, so that whatever the bytes are it
 * ends with rows of the contract or with a CuratedFileError, and allocates no more than a true file of that size would.
 * Throws OutdatedError where the file is of a newer contract than `dataset`. A page has no checksum: a flipped bit may
 * still be a valid file, so compare the blob's hash first.
 */
export function decodePartition({
  dataset,
  bytes,
}: {
  readonly dataset: Dataset
  readonly bytes: Uint8Array
}): { readonly rows: RowBatch } & PartitionVersions {
  try {
    const { metadata, footerStart } = readFooter(bytes)
    const versions = versionsOf(dataset, metadata)
    if (versions.contractVersion > dataset.contractVersion) {
      throw new OutdatedError(
        `curated file of ${dataset.name}: expected at most contract version ${dataset.contractVersion}, got ${versions.contractVersion}`,
      )
    }
    checkSchema(dataset, metadata.schema)
    const rows = readRows(dataset, metadata, bytes, footerStart)
    assertKeyOrder(dataset, rows)
    return { rows, ...versions }
  } catch (thrown) {
    throw asCuratedFileError(dataset, thrown)
  }
}

/** What the file says of itself, whatever its columns: a file of another contract version has others. */
export function partitionVersions({
  dataset,
  bytes,
}: {
  readonly dataset: Dataset
  readonly bytes: Uint8Array
}): PartitionVersions {
  try {
    return versionsOf(dataset, readFooter(bytes).metadata)
  } catch (thrown) {
    throw asCuratedFileError(dataset, thrown)
  }
}

function asCuratedFileError(dataset: Dataset, thrown: unknown): Error {
  if (thrown instanceof OutdatedError) return thrown
  const cause = toError(thrown)
  return new CuratedFileError(`curated file of ${dataset.name}: ${cause.message}`, { cause })
}

const MAGIC = 0x3152_4150 // PAR1
const MAGIC_BYTES = 4
const TRAILER_BYTES = 8

function readFooter(bytes: Uint8Array): { readonly metadata: FileMetaData; readonly footerStart: number } {
  const { length } = bytes
  if (length < MAGIC_BYTES + TRAILER_BYTES) throw new Error(`expected a parquet file, got ${length} bytes`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, length)
  if (view.getUint32(0, true) !== MAGIC || view.getUint32(length - MAGIC_BYTES, true) !== MAGIC) {
    throw new Error(`expected PAR1 at both ends of ${length} bytes, got something else`)
  }
  const footerBytes = view.getUint32(length - TRAILER_BYTES, true)
  const footerStart = length - TRAILER_BYTES - footerBytes
  if (footerStart < MAGIC_BYTES) throw new Error(`expected a footer within ${length} bytes, got ${footerBytes} bytes`)
  const footer = bytes.subarray(footerStart, length - TRAILER_BYTES)
  const { end } = readThriftStruct(footer, 0)
  if (end !== footerBytes) throw new Error(`expected a footer of ${footerBytes} bytes, got one that ends at ${end}`)
  return { metadata: parquetMetadata(bytes, { geoparquet: false }), footerStart }
}

function versionsOf(dataset: Dataset, { key_value_metadata: pairs = [] }: FileMetaData): PartitionVersions {
  const values = new Map(pairs.map(({ key, value }) => [key, value]))
  const name = values.get(METADATA_KEYS.dataset)
  if (name !== dataset.name) throw new Error(`expected the dataset ${dataset.name}, got ${name ?? 'none'}`)
  return {
    contractVersion: parseVersion(METADATA_KEYS.contract, values.get(METADATA_KEYS.contract)),
    transformVersion: parseVersion(METADATA_KEYS.transform, values.get(METADATA_KEYS.transform)),
  }
}

function parseVersion(key: string, text: string | undefined): number {
  if (text === undefined || !/^\d{1,9}$/.test(text))
    throw new Error(`expected ${key} as a number, got ${text ?? 'none'}`)
  return Number(text)
}

function checkSchema(dataset: Dataset, found: readonly SchemaElement[]): void {
  const expected = parquetSchema(dataset)
  for (let index = 0; index < Math.max(expected.length, found.length); index++) {
    const want = describeElement(expected[index])
    const got = describeElement(found[index])
    if (want !== got) throw new Error(`expected ${want}, got ${got}`)
  }
}

function describeElement(element: SchemaElement | undefined): string {
  if (!element) return 'no further column'
  const { name, type, repetition_type, converted_type, logical_type, num_children } = element
  if (num_children !== undefined) return `${num_children} columns`
  const logical = logical_type === undefined ? '' : ` ${JSON.stringify(logical_type)}`
  return `column ${name} ${repetition_type} ${type} ${converted_type ?? ''}${logical}`
}

function readRows(dataset: Dataset, metadata: FileMetaData, bytes: Uint8Array, footerStart: number): RowBatch {
  const columns = allColumns(dataset)
  const rowCount = Number(metadata.num_rows)
  const groupRows = metadata.row_groups.map((group) => Number(group.num_rows))
  const sum = groupRows.reduce((rows, count) => rows + count, 0)
  if (sum !== rowCount || rowCount > FILE_ROWS_MAX || groupRows.some((count) => count < 1 || count > ROW_GROUP_ROWS)) {
    throw new Error(`expected row groups of 1 to ${ROW_GROUP_ROWS} rows, ${rowCount} together, got ${sum}`)
  }
  const chunks = locateChunks(columns, metadata, bytes, footerStart)
  const values: Record<string, ColumnData> = {}
  for (const [index, column] of columns.entries()) {
    values[column.name] = decodeColumn(
      column,
      chunks.map((group, place) => ({ bytes: group[index] ?? new Uint8Array(), rowCount: groupRows[place] ?? 0 })),
    )
  }
  return { rowCount, columns: values }
}

/** The bytes of each column of each row group. They follow one another without a gap and never overlap. */
function locateChunks(
  columns: readonly Column[],
  metadata: FileMetaData,
  bytes: Uint8Array,
  footerStart: number,
): Uint8Array[][] {
  let offset = MAGIC_BYTES
  return metadata.row_groups.map((group) => {
    if (group.columns.length !== columns.length) {
      throw new Error(`expected ${columns.length} columns in each row group, got ${group.columns.length}`)
    }
    return group.columns.map(({ meta_data: chunk }, index) => {
      const name = columns[index]?.name
      const path = chunk?.path_in_schema.join('.')
      if (!chunk || path !== name) throw new Error(`expected column ${name} in its row group, got ${path ?? 'none'}`)
      if (chunk.codec !== 'SNAPPY') throw new Error(`column ${name}: expected codec SNAPPY, got ${chunk.codec}`)
      const start = Number(chunk.dictionary_page_offset ?? chunk.data_page_offset)
      const end = start + Number(chunk.total_compressed_size)
      if (start !== offset || end < start || end > footerStart) {
        throw new Error(
          `column ${name}: expected its pages from byte ${offset} to at most ${footerStart}, got ${start} to ${end}`,
        )
      }
      offset = end
      return bytes.subarray(start, end)
    })
  })
}
