import fc from 'fast-check'
import { ByteWriter } from 'hyparquet-writer'
import { deltaBinaryPack } from 'hyparquet-writer/src/delta.js'
import { writeRleBitPackedHybrid } from 'hyparquet-writer/src/encoding.js'
import { describe, expect, test } from 'vitest'
import { decodeDeltas, decodeDoubles, decodeRuns, decodeTexts } from '../../shared/curated/page-decoder.ts'
import { readThriftStruct } from '../../shared/curated/thrift-struct.ts'

const INT64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })

describe('decodeDeltas', () => {
  test('gives back what the writer packed, over the whole range of an int64', () => {
    const values = fc.array(fc.oneof(INT64, fc.bigInt({ min: -3n, max: 3n })), { maxLength: 300 })
    fc.assert(
      fc.property(values, (numbers) => {
        const packed = new ByteWriter()
        deltaBinaryPack(packed, BigInt64Array.from(numbers), 'INT64')
        expect([...decodeDeltas(packed.getBytes(), numbers.length)]).toEqual(numbers)
      }),
      { numRuns: 500 },
    )
  })

  test.each<[string, number[], number, string]>([
    ['other blocks', [0x80, 0x02, 4, 1, 0], 1, 'page of deltas: expected 128 values per block, got 256'],
    ['other miniblocks', [0x80, 0x01, 0, 1, 0], 1, 'page of deltas: expected 4 miniblocks per block, got 0'],
    ['another count', [0x80, 0x01, 4, 2, 0], 1, 'page of deltas: expected 1 values, got 2'],
    [
      'a width of 65 bits',
      [0x80, 0x01, 4, 2, 0, 0, 65, 0, 0, 0, ...new Array(260).fill(0)],
      2,
      'page: expected deltas within 270 bytes, got more',
    ],
    [
      'a body that is not there',
      [0x80, 0x01, 4, 2, 0, 0, 8, 0, 0, 0, 1],
      2,
      'page: expected deltas within 11 bytes, got more',
    ],
    [
      'an endless integer',
      [0x80, 0x01, 4, 1, ...new Array(99).fill(0x80)],
      1,
      'page: expected an integer of at most ten bytes, got more',
    ],
  ])('refuses %s', (_name, bytes, count, message) => {
    expect(() => decodeDeltas(Uint8Array.from(bytes), count)).toThrow(new Error(message))
  })
})

describe('decodeRuns', () => {
  test('gives back what the writer packed, at every width', () => {
    const numbers = fc
      .integer({ min: 0, max: 17 })
      .chain((bitWidth) =>
        fc.tuple(
          fc.constant(bitWidth),
          fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 2 ** bitWidth - 1 })), { maxLength: 100 }),
        ),
      )
    fc.assert(
      fc.property(numbers, ([bitWidth, values]) => {
        const packed = new ByteWriter()
        writeRleBitPackedHybrid(packed, values, bitWidth)
        expect([...decodeRuns(packed.getBytes(), bitWidth, values.length)]).toEqual(values)
      }),
      { numRuns: 500 },
    )
  })

  test.each<[string, number[], string]>([
    [
      'a run of half a billion values',
      [0xfe, 0xff, 0xff, 0xff, 0x07, 1],
      'page: expected a run of 1 to 10 values, got 1073741823',
    ],
    ['a run of none, again and again', [0, 0, 0, 0], 'page: expected a run of 1 to 10 values, got 0'],
    ['packed groups of none', [1, 1, 1], 'page: expected packed groups within 3 bytes, got more'],
    [
      'packed groups that are not there',
      [0xff, 0xff, 0xff, 0xff, 0x0f],
      'page: expected packed groups within 5 bytes, got more',
    ],
    ['nothing', [], 'page: expected an integer within 0 bytes, got more'],
  ])('refuses %s', (_name, bytes, message) => {
    expect(() => decodeRuns(Uint8Array.from(bytes), 8, 10)).toThrow(new Error(message))
  })

  test('refuses numbers of more than 24 bits', () => {
    expect(() => decodeRuns(new Uint8Array(9), 25, 1)).toThrow('page: expected at most 24 bits per number, got 25')
  })
})

describe('decodeTexts', () => {
  test.each<[string, number[], number, string]>([
    ['more texts than bytes', [0, 0, 0, 0], 2_000_000_000, 'page: expected texts within 4 bytes, got more'],
    ['a text that is not there', [9, 0, 0, 0, 65], 1, 'page: expected texts within 5 bytes, got more'],
    ['bytes that are not utf-8', [2, 0, 0, 0, 0xc3, 0x28], 1, 'page of texts: expected utf-8 at byte 4'],
  ])('refuses %s', (_name, bytes, count, message) => {
    expect(() => decodeTexts(Uint8Array.from(bytes), count)).toThrow(new Error(message))
  })
})

test('decodeDoubles refuses another length than the count says', () => {
  expect(() => decodeDoubles(new Uint8Array(9), 1)).toThrow('page of doubles: expected 8 bytes, got 9')
})

describe('readThriftStruct', () => {
  test.each<[string, number[], RegExp]>([
    [
      'a list longer than the bytes',
      [0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x0f],
      /expected a list within 0 bytes, got 4294967295 elements/,
    ],
    ['text longer than the bytes', [0x18, 0x7f, 65], /expected at most 1 bytes, got a length of 127/],
    ['structs in structs without end', new Array(1_000_000).fill(0x1c), /expected at most 16 values in one another/],
    [
      'lists in lists without end',
      [0x19, ...new Array(1_000_000).fill(0x19)],
      /expected at most 16 values in one another/,
    ],
    ['an endless integer', [0x16, ...new Array(1_000_000).fill(0x80)], /expected an integer of at most ten bytes/],
    ['a map', [0x1b, 0], /expected a type that Parquet uses, got 11/],
    ['no end', [0x15, 2], /expected more than 2 bytes/],
  ])('refuses %s', (_name, bytes, message) => {
    expect(() => readThriftStruct(Uint8Array.from(bytes), 0)).toThrow(message)
  })

  test('reads any bytes to an end or an error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          expect(readThriftStruct(bytes, 0).end).toBeLessThanOrEqual(bytes.length)
        } catch (error) {
          expect(String(error)).toMatch(/^Error: thrift: expected/)
        }
      }),
      { numRuns: 2_000 },
    )
  })
})
