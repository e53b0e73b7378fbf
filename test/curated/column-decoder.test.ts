import type { PageHeader } from 'hyparquet'
import { ByteWriter } from 'hyparquet-writer'
import { writePageHeader } from 'hyparquet-writer/src/datapage.js'
import { writePlain } from 'hyparquet-writer/src/plain.js'
import { snappyCompress } from 'hyparquet-writer/src/snappy.js'
import { describe, expect, test } from 'vitest'
import { decodeColumn } from '../../shared/curated/column-decoder.ts'
import type { Column } from '../../shared/datasets/contract.ts'

const double: Column = { name: 'price', type: 'double', nullable: true, description: 'for tests' }
const text: Column = { name: 'symbol', type: 'string', nullable: false, description: 'for tests' }

type DataPageHeader = NonNullable<PageHeader['data_page_header_v2']>

/** One row whose value is not null: a run of one level, then eight bytes. Each test spoils one thing. */
const ONE_LEVEL = [2, 1]
const NO_LEVEL = [2, 0]

function doublePage(change: Partial<DataPageHeader> = {}, levels = ONE_LEVEL, values = [1.5]): Uint8Array {
  const page = new ByteWriter()
  writePlain(page, values, 'DOUBLE', undefined)
  return dataPage(levels, page.getBytes(), { encoding: 'PLAIN', ...change })
}

function dataPage(
  levels: readonly number[],
  values: Uint8Array,
  change: Partial<DataPageHeader>,
  uncompressedBytes = levels.length + values.length,
): Uint8Array {
  const body = [...levels, ...snappyCompress(values)]
  const writer = new ByteWriter()
  writePageHeader(writer, {
    type: 'DATA_PAGE_V2',
    uncompressed_page_size: uncompressedBytes,
    compressed_page_size: body.length,
    data_page_header_v2: {
      num_values: 1,
      num_nulls: 0,
      num_rows: 1,
      encoding: 'PLAIN',
      definition_levels_byte_length: levels.length,
      repetition_levels_byte_length: 0,
      is_compressed: true,
      ...change,
    },
  })
  return Uint8Array.of(...writer.getBytes(), ...body)
}

function textPages(dictionary: readonly string[], number: number): Uint8Array {
  const page = new ByteWriter()
  writePlain(page, [...dictionary], 'BYTE_ARRAY', undefined)
  const body = snappyCompress(page.getBytes())
  const writer = new ByteWriter()
  writePageHeader(writer, {
    type: 'DICTIONARY_PAGE',
    uncompressed_page_size: page.offset,
    compressed_page_size: body.length,
    dictionary_page_header: { num_values: dictionary.length, encoding: 'PLAIN' },
  })
  const numbers = dataPage([], Uint8Array.of(8, 2, number), { encoding: 'RLE_DICTIONARY' })
  return Uint8Array.of(...writer.getBytes(), ...body, ...numbers)
}

describe('decodeColumn', () => {
  test('reads a page as the writer would make it', () => {
    expect(decodeColumn(double, [{ bytes: doublePage(), rowCount: 1 }])).toEqual([1.5])
    expect(decodeColumn(text, [{ bytes: textPages(['a', 'b'], 1), rowCount: 1 }])).toEqual(['b'])
  })

  test.each<[string, Column, Uint8Array, string]>([
    [
      'a number beyond the dictionary',
      text,
      textPages(['a', 'b'], 2),
      'column symbol: expected a number below 2, got 2',
    ],
    ['no dictionary', text, doublePage(), 'column symbol: expected a dictionary page first, got a page of type 3'],
    [
      'a dictionary where none belongs',
      double,
      textPages(['a'], 0),
      'column price: expected a data page of version 2, got a page of type 2',
    ],
    [
      'nulls that the levels do not have',
      double,
      doublePage({ num_nulls: 1 }),
      'column price: expected 0 values that are not null, got 1',
    ],
    [
      'levels of null that the header does not have',
      double,
      doublePage({}, NO_LEVEL, []),
      'column price: expected 1 values that are not null, got 0',
    ],
    [
      'bytes after the last page',
      double,
      Uint8Array.of(...doublePage(), 0),
      `column price: expected pages of ${doublePage().length + 1} bytes, got ${doublePage().length}`,
    ],
    [
      'a page that ends early',
      double,
      doublePage().subarray(0, -1),
      'column price: expected field 3 of its page header from 0 to 11, got 12',
    ],
    [
      'more values than rows',
      double,
      doublePage({ num_values: 2 }),
      'column price: expected field 1 of its page header from 0 to 1, got 2',
    ],
    [
      'no values',
      double,
      doublePage({ num_values: 0 }),
      'column price: expected as many rows as values, without repetition, got 0 values',
    ],
    [
      'another number of rows',
      double,
      doublePage({ num_rows: 0 }),
      'column price: expected as many rows as values, without repetition, got 1 values',
    ],
    [
      'another encoding',
      double,
      doublePage({ encoding: 'BYTE_STREAM_SPLIT' }),
      'column price: expected encoding 0, got 9',
    ],
    [
      'a page that says it is not compressed',
      double,
      doublePage({ is_compressed: false }),
      'column price: expected a compressed page, got a plain one',
    ],
    [
      'levels beyond the page',
      double,
      doublePage({ definition_levels_byte_length: 99 }),
      'column price: expected field 5 of its page header from 0 to 10, got 99',
    ],
    [
      'a page that claims to grow more than Snappy can',
      double,
      dataPage(ONE_LEVEL, new Uint8Array(8), {}, 2_000_000_000),
      'column price: expected field 2 of its page header from 0 to 328, got 2000000000',
    ],
  ])('refuses %s', (_name, column, bytes, message) => {
    expect(() => decodeColumn(column, [{ bytes, rowCount: 1 }])).toThrow(new Error(message))
  })
})
