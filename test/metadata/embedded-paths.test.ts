import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type FiledRecord, recordPath } from '../../shared/metadata/embedded/paths.ts'

const filed: FiledRecord = {
  target: { sourceId: 'itcftth', schema: 'srv', table: 'cfsver_ct_main' },
  kind: 'ingestion_volume',
  effectiveAt: '2024-01-10T05:00:00.000000Z',
  runId: 'run-123',
  key: '0123456789abcdef0123456789abcdef',
  revision: 0,
}

const FOLDER = 'records/ingestion_volume'
const FILE = '2024-01-10T05-00-00.000000Z_run-123_0123456789abcdef0123456789abcdef'

describe('the path of a record', () => {
  test.each<[string, Partial<FiledRecord>, string]>([
    ['kind, target, time, run and key', {}, `${FOLDER}/itcftth.srv.cfsver_ct_main/${FILE}.json`],
    ['the revision of a correction', { revision: 2 }, `${FOLDER}/itcftth.srv.cfsver_ct_main/${FILE}-2.json`],
    [
      'nothing where there is no run',
      { runId: null },
      `${FOLDER}/itcftth.srv.cfsver_ct_main/${FILE.replace('run-123', '')}.json`,
    ],
    [
      'what file systems do not take, encoded',
      { target: { sourceId: 'con', schema: 'a.b', table: 'TSLA/1d: ä' } },
      `${FOLDER}/%63on.a%2Eb.TSLA%2F1d%3A%20%C3%A4/${FILE}.json`,
    ],
  ])('has %s', (_what, fields, path) => {
    expect(recordPath({ ...filed, ...fields })).toBe(path)
  })

  const name = fc.oneof(
    fc.string({ minLength: 1, maxLength: 256, unit: 'grapheme' }),
    fc.constantFrom('.', '..', 'NUL', 'com1', 'a.b', 'a', 'b', '~', '%2E', 'ends.'),
  )
  const target = fc.record({ sourceId: name, schema: name, table: name })

  test('is taken by every file system, whatever the names are', () => {
    fc.assert(
      fc.property(target, fc.option(name), fc.nat(1_000_000), (target, runId, revision) => {
        const parts = recordPath({ ...filed, target, runId, revision }).split('/')
        expect(parts).toHaveLength(4)
        for (const part of parts) {
          expect(part).toMatch(/^[A-Za-z0-9._~%-]{1,255}$/)
          expect(part).not.toMatch(/^(con|prn|aux|nul|com\d|lpt\d)(\.|$)|\.$/i)
        }
      }),
    )
  })

  test('tells which target it is where the names are not too long', () => {
    const short = fc.string({ minLength: 1, maxLength: 8, unit: 'grapheme' })
    const some = fc.record({ sourceId: short, schema: short, table: short })
    fc.assert(
      fc.property(some, (target) => {
        const folder = recordPath({ ...filed, target }).split('/')[2] ?? ''
        fc.pre(!folder.includes('~'))
        const [sourceId = '', schema = '', table = ''] = folder.split('.').map((part) => decodeURIComponent(part))
        expect({ sourceId, schema, table }).toEqual(target)
      }),
    )
  })

  test('of two long targets is never the same', () => {
    const long = 'x'.repeat(250)
    const path = (table: string) => recordPath({ ...filed, target: { sourceId: long, schema: long, table } })
    expect(path(`${long}a`)).not.toBe(path(`${long}b`))
  })
})
