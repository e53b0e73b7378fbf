import { randomBytes } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DatabaseUnavailableError } from '../../shared/errors.ts'
import { COUNTS, counted, TARGET, volume } from './fact.ts'
import { useService } from './service-bench.ts'

const GOOD = volume(0, { target: { ...TARGET, table: 'refusals' } })
const text = JSON.stringify(GOOD)
const KIBI = 1_024

describe('what the metadata service refuses', () => {
  const bench = useService()
  const { ask } = bench
  const stored = async () => (await bench.query<{ n: number }>('select count(*) as n from metadata.record'))[0]?.n
  beforeEach(async () => {
    await bench.query('delete from metadata.latest')
    await bench.query('delete from metadata.record')
    await bench.query('delete from metadata.record_key')
  })
  const codeOf = ({ body }: Awaited<ReturnType<typeof ask>>) => body.type.replace('/api/metadata/v1/problems/', '')

  test.each<[string, unknown, number, string, string?]>([
    ['no body', undefined, 422, 'record-schema-invalid', ''],
    ['text that is no JSON', '{"kind":', 400, 'malformed-body'],
    ['a list', [GOOD], 422, 'record-schema-invalid', ''],
    ['bytes that are no UTF-8', new Uint8Array([0x22, 0xff, 0xfe, 0x22]), 400, 'malformed-body'],
    ['an unknown kind', { ...GOOD, kind: 'weather' }, 422, 'unknown-kind'],
    ['an unknown version of a kind', { ...GOOD, kindVersion: '9.0' }, 422, 'unknown-kind-version'],
    ['a property that nobody knows', { ...GOOD, who: 'me' }, 422, 'record-schema-invalid', '/who'],
    [
      'a payload of another type',
      { ...GOOD, payload: { ...COUNTS, records: '1' } },
      422,
      'record-schema-invalid',
      '/payload/records',
    ],
    [
      'a payload with more than its kind has',
      { ...GOOD, payload: { ...COUNTS, 'a/b~': 1 } },
      422,
      'record-schema-invalid',
      '/payload/a~1b~0',
    ],
    [
      'a window that ends before it starts',
      { ...GOOD, window: { start: '2024-01-02T00:00:00Z', end: '2024-01-01T00:00:00Z' } },
      422,
      'record-schema-invalid',
      '/window',
    ],
    [
      'a fact that nothing names',
      { ...GOOD, window: undefined, context: { namespace: 'x' } },
      422,
      'record-schema-invalid',
      '',
    ],
    ['a record from the future', { ...GOOD, producedAt: '2999-01-01T00:00:00Z' }, 422, 'produced-at-in-future'],
    [
      'a window that ends in the future',
      { ...GOOD, window: { start: '2024-01-01T00:00:00Z', end: '2999-01-01T00:00:00Z' } },
      422,
      'produced-at-in-future',
    ],
    [
      'another tenant',
      { ...GOOD, context: { ...GOOD.context, environment: { tenant: 'theirs' } } },
      403,
      'wrong-tenant',
    ],
    ['NUL', { ...GOOD, extras: { note: 'a\u0000' } }, 422, 'record-schema-invalid', '/extras/note'],
    ['NUL in a name', { ...GOOD, extras: { 'a\u0000': 1 } }, 422, 'record-schema-invalid', '/extras/a\u0000'],
    [
      'half of a surrogate pair',
      text.replace('"kind":', '"extras":{"note":"\\ud800"},"kind":'),
      422,
      'record-schema-invalid',
      '/extras/note',
    ],
    ['1e400', text.replace('"records":10', '"records":1e400'), 422, 'record-schema-invalid', '/payload/records'],
    [
      'an integer above 2^53',
      text.replace('"records":10', '"records":9007199254740993'),
      422,
      'record-schema-invalid',
      '/payload/records',
    ],
    [
      '33 levels',
      text.replace('"kind":', `"extras":{"deep":${'['.repeat(31)}${']'.repeat(31)}},"kind":`),
      422,
      'record-schema-invalid',
      `/extras/deep${'/0'.repeat(30)}`,
    ],
    ['100,000 levels', '['.repeat(100_000) + ']'.repeat(100_000), 422, 'record-schema-invalid', '/0'.repeat(32)],
    [
      'a name that objects inherit',
      text.replace('"kind":', '"extras":{"__proto__":{"a":1}},"kind":'),
      422,
      'record-schema-invalid',
      '/extras/__proto__',
    ],
    ['a record of more than 256 KiB', { ...GOOD, extras: { note: 'x'.repeat(256 * KIBI) } }, 413, 'record-too-large'],
    ['a body of more than 1 MiB', { ...GOOD, extras: { note: 'x'.repeat(KIBI * KIBI) } }, 413, 'body-too-large'],
    [
      'a year that PostgreSQL has not',
      { ...GOOD, producedAt: '0000-01-01T00:00:00Z', window: undefined },
      422,
      'refused-by-store',
    ],
  ])('%s is refused by its name, and nothing is stored', async (_what, body, status, code, pointer) => {
    const answer = await ask('POST', '/records', { body })
    expect([answer.status, codeOf(answer), answer.body.retriable]).toEqual([status, code, false])
    if (pointer !== undefined)
      expect(answer.body.errors.map((error: { pointer: string }) => error.pointer)).toContain(pointer)
    expect(await stored()).toBe(0)
    expect(bench.announced).toBe(0)
  })

  test('all that is wrong about a payload is told at once, each with its place', async () => {
    const payload = { ...COUNTS, records: -1, inserted: 'x', who: 1 }
    const { body } = await ask('POST', '/records', { body: { ...GOOD, payload } })
    const pointers = body.errors.map(({ pointer }: { pointer: string }) => pointer).sort()
    expect(pointers).toEqual(['/payload/inserted', '/payload/records', '/payload/who'])
  })

  test('a caller key used again with another body is a conflict', async () => {
    const body = { ...GOOD, key: 'mine', payload: counted(1) }
    expect((await ask('POST', '/records', { body })).status).toBe(201)
    const again = await ask('POST', '/records', { body: { ...body, payload: counted(2) } })
    expect([again.status, codeOf(again)]).toEqual([409, 'idempotency-conflict'])
    expect(await stored()).toBe(1)
    bench.announced = 0
  })

  describe('packed bodies', () => {
    const gzip = { 'content-encoding': 'gzip' }

    test('are taken', async () => {
      const answer = await ask('POST', '/records', { body: gzipSync(text), headers: gzip })
      expect(answer.status).toBe(201)
      bench.announced = 0
    })

    test('that hold more than 1 MiB are refused while they are unpacked', async () => {
      const bomb = Buffer.concat(Array(400).fill(gzipSync(Buffer.alloc(KIBI * KIBI, 0x20))))
      expect(bomb.byteLength).toBeLessThan(KIBI * KIBI)
      const before = process.memoryUsage.rss()
      const answer = await ask('POST', '/records', { body: bomb, headers: gzip })
      expect([answer.status, codeOf(answer)]).toEqual([413, 'body-too-large'])
      expect(process.memoryUsage.rss() - before).toBeLessThan(100 * KIBI * KIBI)
    })

    test.each<[string, Uint8Array, string, number, string]>([
      ['that are none', randomBytes(100), 'gzip', 400, 'malformed-body'],
      ['that end early', gzipSync(text).subarray(0, 40), 'gzip', 400, 'malformed-body'],
      ['of another encoding', gzipSync(text), 'br', 415, 'unsupported-encoding'],
      ['packed twice', gzipSync(gzipSync(text)), 'gzip, gzip', 415, 'unsupported-encoding'],
    ])('%s are refused', async (_what, body, encoding, status, code) => {
      const answer = await ask('POST', '/records', { body, headers: { 'content-encoding': encoding } })
      expect([answer.status, codeOf(answer)]).toEqual([status, code])
    })
  })

  test('a body that says to be something else than JSON is refused', async () => {
    const answer = await ask('POST', '/records', { body: text, headers: { 'content-type': 'text/plain' } })
    expect([answer.status, codeOf(answer)]).toEqual([415, 'unsupported-media-type'])
  })

  const LATEST = '/records/latest?sourceId=a&schema=b&table=c&kind=ingestion_volume'
  const cursorOf = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

  test.each<[string, string, number, string]>([
    ['an unknown parameter', '/records?colour=red', 400, 'invalid-query'],
    ['a parameter that comes twice', '/records?kind=schedule&kind=schedule', 400, 'invalid-query'],
    ['half of a target', '/records?sourceId=a&table=b', 400, 'invalid-query'],
    ['a limit of none', '/records?limit=0', 400, 'invalid-query'],
    ['a limit above 500', '/records?limit=501', 400, 'invalid-query'],
    ['a limit that is no number', '/records?limit=1e2', 400, 'invalid-query'],
    ['an instant that is none', '/records?from=yesterday', 400, 'invalid-query'],
    ['a year that PostgreSQL has not', '/records?from=0000-01-01T00:00:00Z', 400, 'invalid-query'],
    ['NUL in a parameter', '/records?runId=a%00b', 400, 'invalid-query'],
    ['extras without a kind', '/records?extras.lane=live', 400, 'invalid-query'],
    ['extras that the kind does not declare', '/records?kind=schedule&extras.lane=live', 400, 'invalid-query'],
    ['extras named like what objects inherit', '/records?kind=schedule&extras.__proto__=live', 400, 'invalid-query'],
    ['an unknown kind in a filter', '/records?kind=weather', 404, 'unknown-kind'],
    ['a cursor that is none', '/records?cursor=abc', 400, 'malformed-cursor'],
    ['a cursor with other members', `/records?cursor=${cursorOf({ v: 1, of: 'x', at: [] })}`, 400, 'malformed-cursor'],
    [
      'a cursor of another question',
      `/records?cursor=${cursorOf({ v: 1, of: 'x', at: ['y'] })}`,
      400,
      'cursor-mismatch',
    ],
    ['a feed cursor that is none', '/feed?after=abc', 400, 'malformed-cursor'],
    ['to wait for longer than 10 s', '/feed?wait=11', 400, 'invalid-query'],
    ['latest of no target', '/records/latest?kind=ingestion_volume', 400, 'invalid-query'],
    ['latest of a scope with NUL', `${LATEST}&scope=%00`, 400, 'invalid-query'],
    ['a record id that is none', '/records/1', 404, 'no-record'],
    ['a record id with NUL', '/records/%00', 400, 'invalid-query'],
    ['lineage of nothing', '/lineage', 400, 'invalid-query'],
    ['lineage of two things', '/lineage?runId=a&sourceId=a&schema=b&table=c', 400, 'invalid-query'],
    ['lineage of four steps', '/lineage?runId=a&depth=4', 400, 'invalid-query'],
    ['lineage of an unknown run', '/lineage?runId=a', 404, 'no-record'],
    [
      'aggregates of an unknown kind',
      '/aggregates?kind=weather&grain=day&from=2024-01-01&to=2024-01-02',
      404,
      'unknown-kind',
    ],
    ['aggregates by week', '/aggregates?kind=schedule&grain=week&from=2024-01-01&to=2024-01-02', 400, 'invalid-query'],
    [
      'a day that there is not',
      '/aggregates?kind=schedule&grain=day&from=2024-02-30&to=2024-03-02',
      400,
      'invalid-query',
    ],
    ['a problem that there is not', '/problems/weather', 404, 'no-record'],
  ])('%s is refused by its name', async (_what, path, status, code) => {
    const answer = await ask('GET', path)
    expect([answer.status, codeOf(answer)]).toEqual([status, code])
  })

  test.each<[string, string, unknown, string]>([
    [
      'more than 500 series',
      '/records/latest/query',
      { series: Array(501).fill({ target: TARGET, kind: 'schedule' }) },
      '/series',
    ],
    [
      'series with more members',
      '/records/latest/query',
      { series: [{ target: TARGET, kind: 'schedule', what: 1 }] },
      '/series/0/what',
    ],
    ['a body with NUL', '/guards/ingestion/check', { target: { ...TARGET, table: '\u0000' } }, '/target/table'],
    ['no body', '/guards/ingestion/check', undefined, '/target'],
  ])('%s is refused with its place', async (_what, path, body, pointer) => {
    const answer = await ask('POST', path, { body })
    expect([answer.status, codeOf(answer), answer.body.errors[0].pointer]).toEqual([422, 'invalid-body', pointer])
  })

  describe('while something does not work', () => {
    afterEach(() => {
      bench.setHook((_operation, run) => run())
      bench.logged.length = 0
    })

    test('of an error that nobody expected only its id is told, and the log has the rest', async () => {
      bench.setHook((operation, run) => {
        if (operation.subject === 'metadata_record_by_id') throw new Error('the password is 1234')
        return run()
      })
      const answer = await ask('GET', '/records/01890000-0000-7000-8000-000000000000')
      expect([answer.status, codeOf(answer)]).toEqual([500, 'internal'])
      expect(answer.text).not.toContain('1234')
      const [line] = bench.logged.filter(({ event }) => event === 'metadata_service_failed')
      expect(answer.body.instance).toBe(`urn:uuid:${line?.request_id}`)
      expect(JSON.stringify(line)).toContain('the password is 1234')
    })

    test('a database that does not answer is 503, to be asked again', async () => {
      bench.setHook((operation, run) => {
        if (operation.subject === 'metadata_record_by_id') throw new DatabaseUnavailableError('host secret.internal')
        return run()
      })
      const answer = await ask('GET', '/records/01890000-0000-7000-8000-000000000000')
      expect([answer.status, codeOf(answer), answer.body.retriable]).toEqual([503, 'unavailable', true])
      expect(answer.headers.get('retry-after')).toBe('5')
      expect(answer.text).not.toContain('secret')
    })
  })

  test('no token stands in the log', async () => {
    await ask('GET', '/kinds/none/versions/1.0').catch(() => undefined)
    await ask('GET', '/records')
    expect(JSON.stringify(bench.logged)).not.toContain(bench.tokens.ours.slice(-20))
    expect(bench.logged).toContainEqual(
      expect.objectContaining({ event: 'metadata_request', status: 200, tenant: 'ours' }),
    )
  })
})
