/**
 * Thrift's compact protocol, as far as Parquet uses it, read with every length checked against the bytes that are
 * there. hyparquet allocates what a length says before it looks, so a damaged footer could take the process down.
 * https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
 */
export type ThriftValue = boolean | number | bigint | Uint8Array | readonly ThriftValue[] | ThriftStruct

/** Values by field id. */
export type ThriftStruct = ReadonlyMap<number, ThriftValue>

const STOP = 0
const TRUE = 1
const FALSE = 2
const BYTE = 3
const I16 = 4
const I32 = 5
const I64 = 6
const DOUBLE = 7
const BINARY = 8
const LIST = 9
const STRUCT = 12

// Parquet nests eight deep.
const DEPTH_MAX = 16

type Cursor = { readonly bytes: Uint8Array; offset: number }

/** The struct that begins at `start`, and where it ends. Throws where it does not end within `bytes`. */
export function readThriftStruct(
  bytes: Uint8Array,
  start: number,
): { readonly fields: ThriftStruct; readonly end: number } {
  const cursor = { bytes, offset: start }
  const fields = readStruct(cursor, 0)
  return { fields, end: cursor.offset }
}

function readStruct(cursor: Cursor, depth: number): ThriftStruct {
  const fields = new Map<number, ThriftValue>()
  let id = 0
  for (;;) {
    const byte = readByte(cursor)
    const type = byte & 0x0f
    if (type === STOP) return fields
    const delta = byte >> 4
    id = delta === 0 ? readZigZag(cursor) : id + delta
    fields.set(id, type === TRUE || type === FALSE ? type === TRUE : readValue(cursor, type, depth))
  }
}

function readValue(cursor: Cursor, type: number, depth: number): ThriftValue {
  if (depth > DEPTH_MAX) throw new Error(`thrift: expected at most ${DEPTH_MAX} values in one another, got more`)
  switch (type) {
    case BYTE:
      return (readByte(cursor) << 24) >> 24
    case I16:
    case I32:
      return readZigZag(cursor)
    case I64:
      return readZigZag64(cursor)
    case DOUBLE:
      return new DataView(take(cursor, 8).slice().buffer).getFloat64(0, true)
    case BINARY:
      return take(cursor, readVarint(cursor))
    case LIST:
      return readList(cursor, depth)
    case STRUCT:
      return readStruct(cursor, depth + 1)
    default:
      throw new Error(`thrift: expected a type that Parquet uses, got ${type} at byte ${cursor.offset}`)
  }
}

function readList(cursor: Cursor, depth: number): readonly ThriftValue[] {
  const head = readByte(cursor)
  const short = head >> 4
  const size = short === 15 ? readVarint(cursor) : short
  const left = cursor.bytes.length - cursor.offset
  if (size > left) throw new Error(`thrift: expected a list within ${left} bytes, got ${size} elements`)
  const elementType = head & 0x0f
  // Truth values have a byte of their own inside a list.
  const type = elementType === TRUE || elementType === FALSE ? BYTE : elementType
  const values: ThriftValue[] = []
  for (let index = 0; index < size; index++) values.push(readValue(cursor, type, depth + 1))
  return values
}

function readByte(cursor: Cursor): number {
  const byte = cursor.bytes[cursor.offset++]
  if (byte === undefined) throw new Error(`thrift: expected more than ${cursor.bytes.length} bytes`)
  return byte
}

function take(cursor: Cursor, length: number): Uint8Array {
  const { bytes, offset } = cursor
  if (length > bytes.length - offset) {
    throw new Error(`thrift: expected at most ${bytes.length - offset} bytes, got a length of ${length}`)
  }
  cursor.offset += length
  return bytes.subarray(offset, cursor.offset)
}

/** Unsigned LEB128 of at most 32 bits. */
function readVarint(cursor: Cursor): number {
  let result = 0
  for (let shift = 0; shift < 35; shift += 7) {
    const byte = readByte(cursor)
    result |= (byte & 0x7f) << shift
    if (byte < 0x80) return result >>> 0
  }
  throw new Error(`thrift: expected an integer of at most five bytes, got more at byte ${cursor.offset}`)
}

function readZigZag(cursor: Cursor): number {
  const value = readVarint(cursor)
  return (value >>> 1) ^ -(value & 1)
}

function readZigZag64(cursor: Cursor): bigint {
  let result = 0n
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const byte = readByte(cursor)
    result |= BigInt(byte & 0x7f) << shift
    if (byte < 0x80) return BigInt.asIntN(64, (result >> 1n) ^ -(result & 1n))
  }
  throw new Error(`thrift: expected an integer of at most ten bytes, got more at byte ${cursor.offset}`)
}
