import { randomInt } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { CuratedFileError, decodePartition, partitionVersions } from '../../shared/curated/parquet-reader.ts'
import { encodePartition } from '../../shared/curated/parquet-writer.ts'
import { bars } from '../../shared/datasets/bars.ts'
import { allColumns, type Dataset } from '../../shared/datasets/contract.ts'
import { assertColumns } from '../../shared/datasets/row-batch.ts'
import { OutdatedError } from '../../shared/errors.ts'
import { everyType } from './every-type.ts'
import { writtenByLibrary } from './library-file.ts'
import { barBatch, generateRows, seeded, toRows } from './rows.ts'

const good = encodePartition({ dataset: bars, rows: generateRows(bars, 400), transformVersion: 7 })
const decode = (bytes: Uint8Array, dataset: Dataset = bars) => decodePartition({ dataset, bytes })

function errorOf(bytes: Uint8Array, dataset: Dataset = bars): Error {
  try {
    decode(bytes, dataset)
  } catch (error) {
    if (error instanceof Error) return error
  }
  throw new Error('expected an error, got rows')
}

describe('decodePartition', () => {
  test.each([0, 1, 2, 31, 32, 33, 127, 128, 129, 130, 1_000, 5_000])('gives back %i rows as they were', (rowCount) => {
    const rows = generateRows(bars, rowCount, rowCount)
    const decoded = decode(encodePartition({ dataset: bars, rows, transformVersion: 7 }))
    expect(toRows(bars, decoded.rows)).toEqual(toRows(bars, rows))
    expect(decoded).toMatchObject({ contractVersion: 1, transformVersion: 7 })
  })

  test('gives back every type, required and nullable', () => {
    const rows = generateRows(everyType, 1_000)
    const bytes = encodePartition({ dataset: everyType, rows, transformVersion: 1 })
    expect(toRows(everyType, decode(bytes, everyType).rows)).toEqual(toRows(everyType, rows))
  })

  test('gives back rows across row groups', () => {
    const rows = generateRows(bars, 100_001)
    const decoded = decode(encodePartition({ dataset: bars, rows, transformVersion: 1 }))
    expect(decoded.rows.columns).toEqual(rows.columns)
  })

  test('gives back columns of nulls only, and of one value', () => {
    const rows = barBatch(
      { ts: 1n, volume: null, trade_count: null, vwap: null },
      { ts: 2n, volume: null, trade_count: null, vwap: null },
    )
    expect(decode(encodePartition({ dataset: bars, rows, transformVersion: 1 })).rows).toEqual(rows)
  })

  test('keeps a byte order mark at the beginning of a text', () => {
    const rows = barBatch({ symbol: '\ufeffAAPL' })
    expect(decode(encodePartition({ dataset: bars, rows, transformVersion: 1 })).rows.columns.symbol).toEqual([
      '\ufeffAAPL',
    ])
  })

  test('reads bytes that begin anywhere in their memory', () => {
    const shifted = new Uint8Array(good.length + 3).subarray(3)
    shifted.set(good)
    expect(decode(shifted).rows).toEqual(decode(good).rows)
  })

  test.each<[string, Uint8Array, string]>([
    ['nothing', new Uint8Array(0), 'expected a parquet file, got 0 bytes'],
    ['text', Buffer.from('ts,open,close\n1,2,3\n'), 'expected PAR1 at both ends of 20 bytes, got something else'],
    ['a file cut short', good.subarray(0, 1_000), 'expected PAR1 at both ends of 1000 bytes, got something else'],
    ['a length that points before the file', withFooterBytes(good, 0xffff_ffff), 'expected a footer within'],
    ['a footer that ends early', withFooterBytes(good, 100), 'expected a footer of 100 bytes, got one that ends at'],
  ])('refuses %s', (_name, bytes, message) => {
    expect(errorOf(bytes)).toBeInstanceOf(CuratedFileError)
    expect(errorOf(bytes).message).toContain(`curated file of bars: ${message}`)
  })

  test.each<[string, Dataset, string]>([
    ['another dataset', { ...bars, name: 'plays' }, 'curated file of plays: expected the dataset plays, got bars'],
    [
      'a column less',
      { ...bars, columns: bars.columns.slice(0, -1) },
      'curated file of bars: expected 15 columns, got 16 columns',
    ],
    [
      'another type',
      {
        ...bars,
        columns: bars.columns.map((column) => (column.name === 'open' ? { ...column, type: 'int64' } : column)),
      },
      'curated file of bars: expected column open REQUIRED INT64 INT_64, got column open REQUIRED DOUBLE ',
    ],
    [
      'a column that may be null',
      {
        ...bars,
        columns: bars.columns.map((column) => (column.name === 'open' ? { ...column, nullable: true } : column)),
      },
      'curated file of bars: expected column open OPTIONAL DOUBLE , got column open REQUIRED DOUBLE ',
    ],
  ])('refuses the file of %s', (_name, dataset, message) => {
    expect(errorOf(good, dataset)).toEqual(new CuratedFileError(message))
  })

  test.each<[string, Uint8Array, RegExp]>([
    [
      'rows out of key order',
      writtenByLibrary(bars, barBatch({ ts: 2n }, { ts: 1n })),
      /: rows of bars: expected ascending keys /,
    ],
    [
      'a key twice',
      writtenByLibrary(bars, barBatch({ ts: 1n }, { ts: 1n })),
      /: rows of bars: expected ascending keys /,
    ],
    [
      'row groups that share their pages, by which a small file would hold millions of rows',
      writtenByLibrary(bars, barBatch({}), {
        change(writer) {
          writer.row_groups.push(...writer.row_groups)
          writer.num_rows += writer.num_rows
        },
      }),
      /: column ts: expected its pages from byte \d+ to at most \d+, got 4 to \d+$/,
    ],
    [
      'another number of rows than its row groups',
      writtenByLibrary(bars, barBatch({}), {
        change(writer) {
          writer.num_rows += 1n
        },
      }),
      /: expected row groups of 1 to 100000 rows, 2 together, got 1$/,
    ],
    [
      'row groups that are too large',
      writtenByLibrary(bars, generateRows(bars, 100_001), { rowGroupSize: 200_000 }),
      /: expected row groups of 1 to 100000 rows, 100001 together, got 100001$/,
    ],
    [
      'pages that are not compressed',
      writtenByLibrary(bars, barBatch({}), { codec: 'UNCOMPRESSED' }),
      /: column ts: expected codec SNAPPY, got UNCOMPRESSED$/,
    ],
  ])('refuses %s', (_name, bytes, message) => {
    expect(errorOf(bytes)).toBeInstanceOf(CuratedFileError)
    expect(errorOf(bytes).message).toMatch(message)
  })

  test('leaves a file of a newer contract to a newer worker', () => {
    const newer = encodePartition({ dataset: { ...bars, contractVersion: 2 }, rows: barBatch({}), transformVersion: 1 })
    expect(errorOf(newer)).toEqual(
      new OutdatedError('curated file of bars: expected at most contract version 1, got 2'),
    )
    expect(partitionVersions({ dataset: bars, bytes: newer })).toEqual({ contractVersion: 2, transformVersion: 1 })
  })

  test('names the column of a damaged page', () => {
    const bytes = good.slice()
    bytes.fill(0xff, 10, 40)
    expect(errorOf(bytes).message).toMatch(/^curated file of bars: column ts: /)
  })

  test('ends with rows of the contract or with a CuratedFileError, wherever a file is cut or changed', () => {
    const seed = randomInt(2 ** 31)
    const random = seeded(seed)
    for (let round = 0; round < 2_000; round++) {
      const bytes = damage(good, random)
      try {
        const { rows } = decode(bytes)
        assertColumns(rows, allColumns(bars))
      } catch (error) {
        if (!(error instanceof CuratedFileError) && !(error instanceof OutdatedError)) {
          throw new Error(`seed ${seed}, round ${round}: ${error}`, { cause: error })
        }
      }
    }
  })
})

function withFooterBytes(bytes: Uint8Array, footerBytes: number): Uint8Array {
  const changed = bytes.slice()
  new DataView(changed.buffer).setUint32(changed.length - 8, footerBytes, true)
  return changed
}

/** A cut, or a few changed bytes, half of them in the footer, which decides where everything else is read. */
function damage(bytes: Uint8Array, random: () => number): Uint8Array {
  if (random() < 0.1) return bytes.slice(0, Math.floor(random() * bytes.length))
  const changed = bytes.slice()
  const footerStart = bytes.length - 4_000
  for (let flips = 1 + Math.floor(random() * 3); flips > 0; flips--) {
    const start = random() < 0.5 ? footerStart : 0
    const index = start + Math.floor(random() * (bytes.length - start))
    changed[index] =
      random() < 0.5 ? Math.floor(random() * 256) : (changed[index] ?? 0) ^ (1 << Math.floor(random() * 8))
  }
  return changed
}
