import { isUtf8 } from 'node:buffer'
import { bytesOf } from './byte-order.ts'

/**
 * The three encodings that curated files use, decoded within bounds: whatever the bytes say, nothing is written past
 * the number of values that the page header gave, and every loop ends. hyparquet's own decoders trust run lengths (a
 * flipped bit makes one run fill the memory) and go through a BigInt for each int64.
 * https://parquet.apache.org/docs/file-format/data-pages/encodings/
 */

/** Levels and dictionary numbers: runs of one value, or groups of eight packed into bits. */
export function decodeRuns(bytes: Uint8Array, bitWidth: number, count: number): Int32Array {
  if (bitWidth > 24) throw new Error(`page: expected at most 24 bits per number, got ${bitWidth}`)
  const values = new Int32Array(count)
  const valueBytes = (bitWidth + 7) >> 3
  let offset = 0
  let filled = 0
  while (filled < count) {
    const header = readVarint(bytes, offset)
    offset = header.end
    const length = header.value >>> 1
    if (header.value & 1) {
      const end = offset + length * bitWidth
      if (length === 0 || end > bytes.length) throw cut('packed groups', bytes.length)
      const packed = Math.min(length * 8, count - filled)
      unpackBits(bytes, offset, bitWidth, values.subarray(filled, filled + packed))
      filled += packed
      offset = end
    } else {
      if (length === 0 || length > count - filled) {
        throw new Error(`page: expected a run of 1 to ${count - filled} values, got ${length}`)
      }
      if (offset + valueBytes > bytes.length) throw cut('a run', bytes.length)
      let value = 0
      for (let byte = 0; byte < valueBytes; byte++) value |= (bytes[offset++] as number) << (8 * byte)
      values.fill(value, filled, filled + length)
      filled += length
    }
  }
  return values
}

/** Up to 24 bits each, lowest bit first. The caller has checked that the bytes are there. */
function unpackBits(bytes: Uint8Array, start: number, bitWidth: number, values: Int32Array): void {
  const mask = (1 << bitWidth) - 1
  let offset = start
  let buffer = 0
  let bits = 0
  for (let index = 0; index < values.length; index++) {
    while (bits < bitWidth) {
      buffer |= (bytes[offset++] as number) << bits
      bits += 8
    }
    values[index] = buffer & mask
    buffer >>>= bitWidth
    bits -= bitWidth
  }
}

const BLOCK_VALUES = 128
const MINIBLOCKS = 4
const MINIBLOCK_VALUES = BLOCK_VALUES / MINIBLOCKS

/** DELTA_BINARY_PACKED into 64-bit words, two's complement; of an int32 column only the low words count. */
export function decodeDeltas(bytes: Uint8Array, count: number): BigInt64Array {
  const values = new BigInt64Array(count)
  const words = new Int32Array(values.buffer)
  const offset = readDeltaHeader(bytes, count)
  const first = readZigZag64(bytes, offset)
  if (count === 0) return values
  words[0] = first.low
  words[1] = first.high
  let block = first.end
  for (let next = 1; next < count; next += BLOCK_VALUES) {
    block = decodeBlock(bytes, block, words, next, Math.min(count, next + BLOCK_VALUES))
  }
  return values
}

function readDeltaHeader(bytes: Uint8Array, count: number): number {
  let offset = 0
  for (const [name, expected] of [
    ['values per block', BLOCK_VALUES],
    ['miniblocks per block', MINIBLOCKS],
    ['values', count],
  ] as const) {
    const field = readVarint(bytes, offset)
    if (field.value !== expected) throw new Error(`page of deltas: expected ${expected} ${name}, got ${field.value}`)
    offset = field.end
  }
  return offset
}

/** Values `[start, end)`, each its predecessor plus the least delta of the block plus its own packed rest. */
function decodeBlock(bytes: Uint8Array, offset: number, words: Int32Array, start: number, end: number): number {
  const least = readZigZag64(bytes, offset)
  let body = least.end + MINIBLOCKS
  let low = words[2 * start - 2] as number
  let high = words[2 * start - 1] as number
  let index = start
  for (let miniblock = 0; index < end; miniblock++) {
    const width = bytes[least.end + miniblock] ?? 0
    const bodyEnd = body + (width * MINIBLOCK_VALUES) / 8
    if (width > 64 || bodyEnd > bytes.length) throw cut('deltas', bytes.length)
    const stop = Math.min(end, index + MINIBLOCK_VALUES)
    for (let bit = 8 * body; index < stop; index++, bit += width) {
      const restLow = width === 0 ? 0 : readBits(bytes, bit, Math.min(width, 32))
      const restHigh = width <= 32 ? 0 : readBits(bytes, bit + 32, width - 32)
      const sumLow = (low >>> 0) + (least.low >>> 0) + (restLow >>> 0)
      high = (high + least.high + restHigh + Math.floor(sumLow / 0x1_0000_0000)) | 0
      low = sumLow | 0
      words[2 * index] = low
      words[2 * index + 1] = high
    }
    body = bodyEnd
  }
  return body
}

/** 1 to 32 bits from bit `position` on, lowest first. */
function readBits(bytes: Uint8Array, position: number, width: number): number {
  let result = 0
  for (let read = 0; read < width; ) {
    const from = (position + read) & 7
    const bits = Math.min(8 - from, width - read)
    result |= (((bytes[(position + read) >>> 3] as number) >>> from) & ((1 << bits) - 1)) << read
    read += bits
  }
  return result
}

/** Length and bytes, one after the other. Throws for bytes that are not UTF-8: replaced ones would merge differently. */
export function decodeTexts(bytes: Uint8Array, count: number): readonly string[] {
  // Four bytes of length each: a count that the page cannot hold is seen before anything is made for it.
  if (count > bytes.length / 4) throw cut('texts', bytes.length)
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const texts: string[] = []
  let offset = 0
  for (let index = 0; index < count; index++) {
    if (offset + 4 > buffer.length) throw cut('texts', buffer.length)
    const start = offset + 4
    offset = start + buffer.readUInt32LE(offset)
    if (offset > buffer.length) throw cut('texts', buffer.length)
    if (!isUtf8(buffer.subarray(start, offset))) throw new Error(`page of texts: expected utf-8 at byte ${start}`)
    texts.push(buffer.toString('utf8', start, offset))
  }
  return texts
}

/** Eight bytes each. */
export function decodeDoubles(bytes: Uint8Array, count: number): Float64Array {
  if (bytes.length !== 8 * count) throw new Error(`page of doubles: expected ${8 * count} bytes, got ${bytes.length}`)
  const values = new Float64Array(count)
  bytesOf(values).set(bytes)
  return values
}

function readVarint(bytes: Uint8Array, start: number): { readonly value: number; readonly end: number } {
  let value = 0
  for (let index = 0; index < 5; index++) {
    const byte = bytes[start + index]
    if (byte === undefined) throw cut('an integer', bytes.length)
    value |= (byte & 0x7f) << (7 * index)
    if (byte < 0x80) return { value: value >>> 0, end: start + index + 1 }
  }
  throw new Error('page: expected an integer of at most five bytes, got more')
}

function readZigZag64(bytes: Uint8Array, start: number): { low: number; high: number; end: number } {
  let low = 0
  let high = 0
  for (let index = 0; index < 10; index++) {
    const byte = bytes[start + index]
    if (byte === undefined) throw cut('an integer', bytes.length)
    const bits = byte & 0x7f
    const shift = 7 * index
    if (shift < 32) low |= bits << shift
    if (shift > 25) high |= shift < 32 ? bits >>> (32 - shift) : bits << (shift - 32)
    if (byte < 0x80) {
      const sign = -(low & 1)
      return { low: ((low >>> 1) | (high << 31)) ^ sign, high: (high >>> 1) ^ sign, end: start + index + 1 }
    }
  }
  throw new Error('page: expected an integer of at most ten bytes, got more')
}

function cut(what: string, length: number): Error {
  return new Error(`page: expected ${what} within ${length} bytes, got more`)
}
