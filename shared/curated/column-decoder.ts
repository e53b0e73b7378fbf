import { snappyUncompress } from 'hyparquet'
import type { Column } from '../datasets/contract.ts'
import { allocateColumn, type ColumnData } from '../datasets/row-batch.ts'
import { decodeDeltas, decodeDoubles, decodeRuns, decodeTexts } from './page-decoder.ts'
import { columnEncoding } from './parquet-schema.ts'
import { readThriftStruct, type ThriftStruct } from './thrift-struct.ts'

/** The pages of one column in one row group. */
export type ColumnChunk = { readonly bytes: Uint8Array; readonly rowCount: number }

/** All values of one column. Throws, naming the column, where its pages are not as `encodePartition` writes them. */
export function decodeColumn(column: Column, chunks: readonly ColumnChunk[]): ColumnData {
  const rowCount = chunks.reduce((rows, chunk) => rows + chunk.rowCount, 0)
  const values = allocateColumn(column, rowCount)
  let row = 0
  for (const chunk of chunks) {
    try {
      row = decodeChunk(column, chunk, values, row)
    } catch (error) {
      throw new Error(`column ${column.name}: ${error instanceof Error ? error.message : error}`, { cause: error })
    }
  }
  return values
}

type Values = ReturnType<typeof allocateColumn>

/** Puts the chunk's values from `row` on and returns the row after them. */
function decodeChunk(column: Column, { bytes, rowCount }: ColumnChunk, values: Values, row: number): number {
  const end = row + rowCount
  let offset = 0
  let dictionary: readonly string[] = []
  if (column.type === 'string') {
    const page = readPage(bytes, offset)
    dictionary = decodeDictionary(page)
    offset = page.end
  }
  let next = row
  while (next < end) {
    const page = readDataPage(column, bytes, offset, end - next)
    putValues(column, page, dictionary, values, next)
    next += page.valueCount
    offset = page.end
  }
  if (offset !== bytes.length) throw new Error(`expected pages of ${bytes.length} bytes, got ${offset}`)
  return end
}

const DATA_PAGE_V2 = 3
const DICTIONARY_PAGE = 2
const PLAIN = 0
const ENCODINGS: Readonly<Record<string, number>> = { PLAIN, DELTA_BINARY_PACKED: 5, RLE_DICTIONARY: 8 }

type Page = {
  readonly type: number
  readonly header: ThriftStruct
  readonly body: Uint8Array
  readonly uncompressedBytes: number
  /** Where the next page begins. */
  readonly end: number
}

function readPage(bytes: Uint8Array, start: number): Page {
  const { fields: header, end: bodyStart } = readThriftStruct(bytes, start)
  const end = bodyStart + integer(header, 3, bytes.length - bodyStart)
  // A page grows at most 22 times: three bytes of Snappy copy at most 64.
  const uncompressedBytes = integer(header, 2, 22 * (end - bodyStart) + 64)
  return { type: integer(header, 1, 3), header, body: bytes.subarray(bodyStart, end), uncompressedBytes, end }
}

function decodeDictionary({ type, header, body, uncompressedBytes }: Page): readonly string[] {
  if (type !== DICTIONARY_PAGE) throw new Error(`expected a dictionary page first, got a page of type ${type}`)
  const dictionary = struct(header, 7)
  if (dictionary.get(2) !== PLAIN) throw new Error(`expected a plain dictionary, got encoding ${dictionary.get(2)}`)
  return decodeTexts(uncompress(body, uncompressedBytes), integer(dictionary, 1, uncompressedBytes))
}

type DataPage = {
  readonly valueCount: number
  /** One per value, 0 for null; undefined where nothing is null. */
  readonly levels: Int32Array | undefined
  readonly presentCount: number
  readonly body: Uint8Array
  readonly end: number
}

function readDataPage(column: Column, bytes: Uint8Array, start: number, valuesMax: number): DataPage {
  const { type, header, body, uncompressedBytes, end } = readPage(bytes, start)
  if (type !== DATA_PAGE_V2) throw new Error(`expected a data page of version 2, got a page of type ${type}`)
  const page = struct(header, 8)
  const encoding = ENCODINGS[columnEncoding(column)]
  if (page.get(4) !== encoding) throw new Error(`expected encoding ${encoding}, got ${page.get(4)}`)
  const valueCount = integer(page, 1, valuesMax)
  if (valueCount === 0 || integer(page, 3, valuesMax) !== valueCount || integer(page, 6, 0) !== 0) {
    throw new Error(`expected as many rows as values, without repetition, got ${valueCount} values`)
  }
  if (page.get(7) === false) throw new Error('expected a compressed page, got a plain one')
  const nullCount = integer(page, 2, column.nullable ? valueCount : 0)
  const levelBytes = integer(page, 5, column.nullable ? Math.min(body.length, uncompressedBytes) : 0)
  const levels = column.nullable ? decodeRuns(body.subarray(0, levelBytes), 1, valueCount) : undefined
  const presentCount = levels ? levels.reduce((sum, level) => sum + level, 0) : valueCount
  if (presentCount !== valueCount - nullCount) {
    throw new Error(`expected ${valueCount - nullCount} values that are not null, got ${presentCount}`)
  }
  const values = uncompress(body.subarray(levelBytes), uncompressedBytes - levelBytes)
  return { valueCount, levels: nullCount === 0 ? undefined : levels, presentCount, body: values, end }
}

function putValues(column: Column, page: DataPage, dictionary: readonly string[], values: Values, row: number): void {
  const present = decodeValues(column, page, dictionary)
  if (values instanceof BigInt64Array && present instanceof BigInt64Array) values.set(present, row)
  else if (values instanceof Int32Array && present instanceof Int32Array) values.set(present, row)
  else if (values instanceof Float64Array && present instanceof Float64Array) values.set(present, row)
  else putCells(values as unknown[], page, present, row)
}

/** Into a plain array, which is null where nothing is put. */
function putCells(cells: unknown[], { levels, valueCount }: DataPage, present: ArrayLike<unknown>, row: number): void {
  let next = 0
  for (let index = 0; index < valueCount; index++) {
    if (levels === undefined || levels[index] === 1) cells[row + index] = present[next++]
  }
}

function decodeValues({ type }: Column, { body, presentCount }: DataPage, dictionary: readonly string[]) {
  switch (type) {
    case 'double':
      return decodeDoubles(body, presentCount)
    case 'instant':
    case 'int64':
      return decodeDeltas(body, presentCount)
    case 'date':
    case 'int32':
      return lowWords(decodeDeltas(body, presentCount))
    case 'string':
      return dictionaryValues(decodeRuns(body.subarray(1), body[0] ?? 0, presentCount), dictionary)
  }
}

function lowWords(values: BigInt64Array): Int32Array {
  const words = new Int32Array(values.buffer)
  const low = new Int32Array(values.length)
  for (let index = 0; index < low.length; index++) low[index] = words[2 * index] as number
  return low
}

function dictionaryValues(numbers: Int32Array, dictionary: readonly string[]): string[] {
  const texts = new Array<string>(numbers.length).fill('')
  for (let index = 0; index < numbers.length; index++) {
    const text = dictionary[numbers[index] as number]
    if (text === undefined) throw new Error(`expected a number below ${dictionary.length}, got ${numbers[index]}`)
    texts[index] = text
  }
  return texts
}

function uncompress(body: Uint8Array, uncompressedBytes: number): Uint8Array {
  const page = new Uint8Array(uncompressedBytes)
  snappyUncompress(body, page)
  return page
}

function integer(fields: ThriftStruct, id: number, max: number): number {
  const value = fields.get(id)
  if (typeof value === 'number' && value >= 0 && value <= max) return value
  throw new Error(`expected field ${id} of its page header from 0 to ${max}, got ${value ?? 'none'}`)
}

function struct(fields: ThriftStruct, id: number): ThriftStruct {
  const value = fields.get(id)
  if (value instanceof Map) return value
  throw new Error(`expected field ${id} of its page header, got none`)
}
