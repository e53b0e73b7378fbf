import { createHash } from 'node:crypto'
import { type FileMetaData, parquetMetadata, type RowGroup } from 'hyparquet'
import type { BlobContainer } from '../../azure/blobs.ts'
import { decodeColumn } from '../../curated/column-decoder.ts'
import type { Column } from '../../datasets/contract.ts'
import type { ColumnData } from '../../datasets/row-batch.ts'
import { PermanentError, toError } from '../../errors.ts'
import { COMPACTED_COLUMNS, COMPACTED_VERSION, type CompactedRow, compactedSchema, rowOf } from './compacted-columns.ts'

/** What is known of a file beside it. */
export type CompactedFile = { readonly path: string; readonly bytes: number; readonly sha256: string }

/** A compacted file is missing, damaged, or not what is known of it. */
export class CompactedFileError extends PermanentError {
  override readonly name = 'CompactedFileError'
}

/** Rows that lie together in a file. Columns are decoded when they are asked for: most of it is the body. */
export type CompactedGroup = {
  readonly rowCount: number
  readonly column: (index: number) => ColumnData
  readonly row: (row: number) => CompactedRow
}

const MAGIC_BYTES = 4
const TRAILER_BYTES = 8
// Most files are smaller than this, and read in one request.
const TAIL_BYTES = 1024 * 1024
// Of one group: the writer's bounds, several times over. A damaged footer must not make a reader allocate more.
const GROUP_ROWS_MAX = 100_000
const GROUP_BYTES_MAX = 512 * 1024 * 1024

/**
 * The groups of a file, one after another, with one of them in memory. Pages have no checksum, so the whole is hashed
 * on the way: throws CompactedFileError, at the latest after the last group, where a byte is not as it was written.
 */
export async function* readCompactedFile(files: BlobContainer, file: CompactedFile): AsyncGenerator<CompactedGroup> {
  try {
    yield* readGroups(files, file)
  } catch (error) {
    if (!(error instanceof DamageError)) throw error
    throw new CompactedFileError(`compacted file ${file.path}: ${error.message}`, { cause: error })
  }
}

class DamageError extends Error {}

async function* readGroups(files: BlobContainer, file: CompactedFile): AsyncGenerator<CompactedGroup> {
  const tailStart = Math.max(file.bytes - TAIL_BYTES, 0)
  const tail = await readBytes(files, file, tailStart, file.bytes)
  const footerBytes = footerLength(tail)
  const footerStart = file.bytes - footerBytes
  if (footerStart < MAGIC_BYTES)
    throw new DamageError(`expected a footer within ${file.bytes} bytes, got ${footerBytes}`)
  const read = async (start: number, end: number) =>
    start >= tailStart ? tail.subarray(start - tailStart, end - tailStart) : readBytes(files, file, start, end)
  const footer = await read(footerStart, file.bytes)
  const metadata = damaging(() => parquetMetadata(footer, { geoparquet: false }))
  checkKind(metadata)
  const hash = createHash('sha256').update(await read(0, MAGIC_BYTES))
  let start = MAGIC_BYTES
  for (const group of metadata.row_groups) {
    const end = endOf(group, start, footerStart)
    const bytes = await read(start, end)
    hash.update(bytes)
    yield openGroup(group, bytes)
    start = end
  }
  if (start !== footerStart) throw new DamageError(`expected groups up to byte ${footerStart}, got ${start}`)
  const sha256 = hash.update(footer).digest('hex')
  if (sha256 !== file.sha256) throw new DamageError(`expected sha256 ${file.sha256}, got ${sha256}`)
}

function footerLength(tail: Uint8Array): number {
  const at = tail.byteLength - TRAILER_BYTES
  if (at < 0) throw new DamageError(`expected a parquet file, got ${tail.byteLength} bytes`)
  return new DataView(tail.buffer, tail.byteOffset).getUint32(at, true) + TRAILER_BYTES
}

async function readBytes(files: BlobContainer, file: CompactedFile, start: number, end: number): Promise<Uint8Array> {
  const bytes = await files.range(file.path, start, end - start)
  if (bytes === null) throw new DamageError('expected a blob, there is none')
  if (bytes.byteLength === end - start) return bytes
  throw new DamageError(`expected ${file.bytes} bytes, got ${start + bytes.byteLength}`)
}

function checkKind({ schema, key_value_metadata: pairs = [] }: FileMetaData): void {
  const version = pairs.find(({ key }) => key === 'compacted_version')?.value
  if (version !== COMPACTED_VERSION) {
    throw new DamageError(`expected compacted_version ${COMPACTED_VERSION}, got ${version ?? 'none'}`)
  }
  const describe = (elements: FileMetaData['schema']) =>
    elements.map(({ name, type, repetition_type }) => `${name} ${repetition_type ?? ''} ${type ?? ''}`).join(', ')
  const [expected, got] = [describe(compactedSchema()), describe(schema)]
  if (got !== expected) throw new DamageError(`expected the columns ${expected}, got ${got}`)
}

/** Columns follow one another without a gap, and so do groups: every byte is hashed once. */
function endOf(group: RowGroup, start: number, footerStart: number): number {
  let offset = start
  if (group.columns.length !== COMPACTED_COLUMNS.length) {
    throw new DamageError(`expected ${COMPACTED_COLUMNS.length} columns in each group, got ${group.columns.length}`)
  }
  for (const [index, { meta_data: chunk }] of group.columns.entries()) {
    const name = COMPACTED_COLUMNS[index]?.name
    const begin = Number(chunk?.dictionary_page_offset ?? chunk?.data_page_offset ?? -1)
    const bytes = Number(chunk?.total_compressed_size ?? -1)
    if (chunk?.path_in_schema.join('.') !== name || chunk?.codec !== 'SNAPPY' || begin !== offset || bytes < 0) {
      throw new DamageError(`expected the pages of column ${name} at byte ${offset}, got them at ${begin}`)
    }
    offset += bytes
  }
  const rows = Number(group.num_rows)
  if (offset <= footerStart && offset - start <= GROUP_BYTES_MAX && rows >= 1 && rows <= GROUP_ROWS_MAX) return offset
  throw new DamageError(
    `expected a group of at most ${GROUP_ROWS_MAX} rows that ends by ${footerStart}, got ${rows} to ${offset}`,
  )
}

function openGroup(group: RowGroup, bytes: Uint8Array): CompactedGroup {
  const rowCount = Number(group.num_rows)
  const decoded: (ColumnData | undefined)[] = []
  let offset = 0
  const places = group.columns.map(({ meta_data: chunk }) => {
    const from = offset
    offset += Number(chunk?.total_compressed_size ?? 0)
    return bytes.subarray(from, offset)
  })
  const column = (index: number) => {
    decoded[index] ??= damaging(() =>
      decodeColumn(COMPACTED_COLUMNS[index] as Column, [{ bytes: places[index] as Uint8Array, rowCount }]),
    )
    return decoded[index]
  }
  return {
    rowCount,
    column,
    row: (row) =>
      rowOf(
        COMPACTED_COLUMNS.map((_, index) => column(index)),
        row,
      ),
  }
}

/** Whatever is wrong about bytes is damage. */
function damaging<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw new DamageError(toError(error).message, { cause: error })
  }
}
