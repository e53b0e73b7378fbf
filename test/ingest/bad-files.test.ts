import { afterEach, describe, expect, test } from 'vitest'
import { ConfigError, toError } from '../../shared/errors.ts'
import { planFile } from '../../shared/ingest/plan/plan-file.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { type LedgerBench, NAME, openLedger } from './ledger.ts'

const MONDAY = '2020-02-03T08:00:00Z'
const GOOD = { lines: ['2020-01-02,1'], modifiedAt: MONDAY }
const SHA256 = '0'.repeat(64)
const PARTS = 'expected parts between slashes that are not empty and do not end with a dot'
const CHARACTERS = 'expected no control character, backslash or half of a character'
const LENGTH = 'expected at most 1024 characters and 2000 bytes'

const BAD_NAMES: readonly (readonly [name: string, problem: string])[] = [
  ['', `${PARTS}, got ""`],
  ['/', `${PARTS}, got "/"`],
  ['/2020.csv', `${PARTS}, got "/2020.csv"`],
  ['books//2020.csv', `${PARTS}, got "books//2020.csv"`],
  ['books/', `${PARTS}, got "books/"`],
  ['..', `${PARTS}, got ".."`],
  ['../raw/2020.csv', `${PARTS}, got "../raw/2020.csv"`],
  ['books/../../raw/2020.csv', `${PARTS}, got "books/../../raw/2020.csv"`],
  ['./2020.csv', `${PARTS}, got "./2020.csv"`],
  ['2020.csv.', `${PARTS}, got "2020.csv."`],
  ['books\\2020.csv', `${CHARACTERS}, got "books\\\\2020.csv"`],
  ['2020\u0000.csv', `${CHARACTERS}, got "2020\\u0000.csv"`],
  ['2020\n.csv', `${CHARACTERS}, got "2020\\n.csv"`],
  ['\ud83d.csv', `${CHARACTERS}, got "\\ud83d.csv"`],
  ['a'.repeat(1_025), `${LENGTH}, got 1025 characters and 1025 bytes ("${'a'.repeat(79)}…)`],
  ['表'.repeat(1_000), `${LENGTH}, got 1000 characters and 3000 bytes ("${'表'.repeat(79)}…)`],
]

const GOOD_NAMES = [
  'Åäö/表 2020.csv',
  'a b?c=d&e#f%2F..%2Fg+h.csv',
  '...books/..2020..csv',
  '\'quoted\' "twice".csv',
  '👩‍💻.csv',
  `${'a'.repeat(500)}/${'b'.repeat(499)}`,
  '表'.repeat(666),
]

describe('I8 bad input is loud: names and parameters of files', () => {
  const environment = useTestEnvironment()
  const opened: LedgerBench[] = []
  afterEach(async () => {
    for (const { bench } of opened.splice(0)) await bench.close()
  })
  const open = async () => {
    const books = await openLedger({
      databaseUrl: await environment.newDatabase(),
      storageConnectionString: environment.newStorageAccount(),
    })
    opened.push(books)
    return books
  }
  const endOf = async ({ bench }: LedgerBench) => {
    await bench.sweep()
    const worked = await bench.drain()
    await bench.sweep()
    const alerts = await bench.query<{ alert: string }>(
      `select kind || ': ' || (detail ->> 'error') as alert from ops.alert where closed_at is null order by 1`,
    )
    return { worked, alerts: alerts.map(({ alert }) => alert.replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, '…')) }
  }

  test('a name that storage or PostgreSQL cannot keep is refused before anything is planned', async () => {
    const { bench, plan } = await open()
    const seen = { etag: '"0x8"', sha256: SHA256, bytes: 1 }
    for (const [name, problem] of BAD_NAMES) {
      const error = await plan({ ...GOOD, name }, seen).catch(toError)
      expect(error).toBeInstanceOf(ConfigError)
      expect((error as ConfigError).problems).toEqual([`file name: ${problem}`])
    }
    expect(await bench.query('select count(*) as n from provenance.source_ingest')).toEqual([{ n: 0 }])
  })

  test('a change time that no calendar of ours has is refused with the name', async () => {
    const { bench, streamId, plan, seen, put } = await open()
    await put(GOOD)
    for (const modifiedAt of [-62_135_596_800_000_001n, 253_402_300_800_000_000n]) {
      const file = { name: NAME, ...(await seen()), modifiedAt }
      await expect(planFile(bench.platform.db, { streamId, file, initiatedBy: 'test' })).rejects.toThrow(
        `file "${NAME}": expected a change time in the years 1 to 9999, got ${modifiedAt} µs since 1970`,
      )
    }
    for (const [modifiedAt, name] of Object.entries({ '0001-01-01T00:00:00Z': 'a', '9999-12-31T23:59:59Z': 'b' })) {
      expect(await plan({ ...GOOD, modifiedAt, name }, await put({ ...GOOD, name }))).toMatchObject({ kind: 'planned' })
    }
    await bench.settle()
    expect(await bench.query(`select count(*) as n from provenance.source_ingest where state = 'published'`)).toEqual([
      { n: 2 },
    ])
  })

  test('any other name goes through the whole chain, and raw and rows say what it was', async () => {
    const { bench, drop, rows } = await open()
    for (const [day, name] of GOOD_NAMES.entries()) {
      await drop({ ...GOOD, name, lines: [`2020-01-0${day + 1},${day + 1}`] })
    }
    await bench.settle()
    expect(await rows()).toEqual(GOOD_NAMES.map((_name, day) => `2020-01-0${day + 1} ${day + 1}`))
    const kept: string[] = []
    for await (const { metadata } of bench.platform.raw.list('')) kept.push(decodeURIComponent(metadata.filename ?? ''))
    expect(kept.sort()).toEqual([...GOOD_NAMES].sort())
  })

  test.each<[what: string, parameters: unknown, problem: string]>([
    ['none', {}, 'name: Invalid input: expected string, received undefined'],
    ['a list', [], 'parameters: Invalid input: expected object, received array'],
    ['with a name of another container', { name: '../raw/x' }, `name: ${PARTS}, got "../raw/x"`],
    ['with version 0', { version: 0 }, 'version: Too small: expected number to be >0'],
    ['with no ETag', { etag: '' }, 'etag: Too small: expected string to have >=1 characters'],
    ['with a hash that is none', { sha256: 'abc' }, 'sha256: Invalid sha256'],
    ['with bytes below zero', { bytes: -1 }, 'bytes: Too small: expected number to be >=0'],
    [
      'with a day that is none',
      { modifiedAt: '2020-02-30T00:00:00Z' },
      'modifiedAt: expected an instant, got "2020-02-30T00:00:00Z"',
    ],
    [
      'with a year that is none',
      { modifiedAt: '0000-01-01T00:00:00Z' },
      'modifiedAt: expected an instant, got "0000-01-01T00:00:00Z"',
    ],
    ['with more than a version has', { owner: 'ada' }, 'parameters: Unrecognized key: "owner"'],
  ])(
    'parameters that are no version (%s) fail the ingest, told and alerted, and no blob is read',
    async (_what, parameters, problem) => {
      const books = await open()
      const planned = await books.drop({ ...GOOD, name: 'a.csv' })
      const good = `select parameters from provenance.source_ingest`
      const [row] = await books.bench.query<{ parameters: object }>(good)
      const bad = Array.isArray(parameters) || Object.keys(parameters as object).length === 0
      const stored = JSON.stringify(bad ? parameters : { ...row?.parameters, ...(parameters as object) })
      await books.bench.query('update provenance.source_ingest set parameters = $1::jsonb', [stored])
      const { worked, alerts } = await endOf(books)
      expect(worked).toEqual(['failed'])
      expect(alerts).toEqual([
        expect.stringContaining('failed_ingest: ingest …: expected the version of a file, got another ('),
      ])
      expect(alerts[0]).toContain(problem)
      expect(await books.bench.query('select count(*) as n from provenance.raw_page')).toEqual([{ n: 0 }])
      expect(planned).toMatchObject({ kind: 'planned' })
    },
  )
})
