import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseInstant } from '../../shared/instant.ts'
import { checkRecord, checkRecordText } from '../../shared/metadata/model/check.ts'
import { KINDS } from '../../shared/metadata/model/kinds.ts'
import { COUNTS, TARGET, volume } from './fact.ts'

const options = {
  kinds: KINDS,
  environment: { cluster: 'c', workspace: 'w', tenant: 'ours' },
  now: parseInstant('2026-01-01T00:00:00Z') ?? 0n,
}

const problemOf = (input: unknown) => {
  const result = checkRecord(input, options)
  return result.ok ? null : result.problem
}
const problemOfText = (text: string) => {
  const result = checkRecordText(text, options)
  return result.ok ? null : result.problem
}
const keyOf = (input: unknown) => {
  const result = checkRecord(input, options)
  return result.ok ? result.checked.key : result.problem.code
}
const contentOf = (input: unknown) => {
  const result = checkRecord(input, options)
  return result.ok ? result.checked.content : result.problem.code
}

const nested = (depth: number): unknown => (depth === 0 ? 1 : { a: nested(depth - 1) })
const withExtras = (extras: unknown) => ({ ...volume(0), extras })
const circular: Record<string, unknown> = {}
circular.one = circular

describe('a record that comes in', () => {
  test('is taken as it is, with what it leaves out filled in', () => {
    const result = checkRecord(volume(0), options)
    expect(result).toMatchObject({
      ok: true,
      checked: {
        tenant: 'ours',
        record: {
          scope: '',
          revision: 0,
          quality: 'live',
          context: { environment: options.environment },
          window: { start: '2024-01-01T00:00:00.000000Z', end: '2024-01-02T00:00:00.000000Z' },
        },
      },
    })
  })

  test.each<[string, unknown, string, string, string]>([
    ['nothing', undefined, '', 'not-json', 'expected JSON, got a undefined'],
    ['no object', 'record', '', 'invalid_type', 'invalid input: expected object, received string'],
    ['a list', [], '', 'invalid_type', 'invalid input: expected object, received array'],
    ['NUL', withExtras({ a: 'x\u0000' }), '/extras/a', 'nul', 'expected text without NUL'],
    ['NUL in a name', withExtras({ 'x\u0000': 1 }), '/extras/x\u0000', 'nul', 'expected text without NUL'],
    [
      'a lone surrogate',
      withExtras({ a: ['\ud800'] }),
      '/extras/a/0',
      'lone-surrogate',
      'expected well-formed Unicode, got a lone surrogate',
    ],
    [
      'too many levels',
      withExtras(nested(32)),
      `/extras${'/a'.repeat(31)}`,
      'depth',
      'expected at most 32 levels, got more',
    ],
    [
      'a circle',
      withExtras({ circular }),
      `/extras/circular${'/one'.repeat(30)}`,
      'depth',
      'expected at most 32 levels, got more',
    ],
    ['Infinity', withExtras({ a: 1e308 * 10 }), '/extras/a', 'not-finite', 'expected a finite number, got Infinity'],
    ['NaN', withExtras({ a: Number.NaN }), '/extras/a', 'not-finite', 'expected a finite number, got NaN'],
    [
      'an integer above 2^53',
      withExtras({ a: 2 ** 53 }),
      '/extras/a',
      'unsafe-integer',
      'expected an integer of at most 2^53 (larger ones as text), got 9007199254740992',
    ],
    ['a bigint', withExtras({ a: 1n }), '/extras/a', 'not-json', 'expected JSON, got a bigint'],
    [
      'a Date',
      withExtras({ a: new Date(0) }),
      '/extras/a',
      'not-json',
      'expected a plain object or an array, got another object',
    ],
    [
      'a list with a hole',
      withExtras({ a: new Array(1) }),
      '/extras/a/0',
      'not-json',
      'expected JSON, got a undefined',
    ],
    [
      'a reserved name',
      withExtras({ constructor: 1 }),
      '/extras/constructor',
      'reserved-name',
      'expected another name than constructor',
    ],
    [
      'a property that records have not',
      { ...volume(0), payloads: 1 },
      '/payloads',
      'unrecognized_keys',
      'expected no such property',
    ],
    [
      'an empty name',
      volume(0, { target: { ...TARGET, schema: '' } }),
      '/target/schema',
      'too_small',
      'too small: expected string to have >=1 characters',
    ],
    [
      'a name too long',
      volume(0, { target: { ...TARGET, table: 'x'.repeat(257) } }),
      '/target/table',
      'too_big',
      'too big: expected string to have <=256 characters',
    ],
    [
      'a name with a line break',
      volume(0, { target: { ...TARGET, table: 'a\nb' } }),
      '/target/table',
      'custom',
      'expected text without control characters',
    ],
    [
      'no instant',
      volume(0, { producedAt: '2024-02-30T00:00:00Z' }),
      '/producedAt',
      'custom',
      'expected an RFC 3339 instant',
    ],
    [
      'a window that ends before it starts',
      volume(0, { window: { start: '2024-01-02T00:00:00Z', end: '2024-01-02T01:00:00+01:00' } }),
      '/window',
      'custom',
      'expected the start before the end',
    ],
    [
      'a negative revision',
      volume(0, { revision: -1 }),
      '/revision',
      'too_small',
      'too small: expected number to be >=0',
    ],
    ['a long key', volume(0, { key: 'ä'.repeat(129) }), '/key', 'custom', 'expected at most 256 bytes'],
    [
      'a payload that breaks its schema',
      volume(0, { payload: { ...COUNTS, pages: -1 } }),
      '/payload/pages',
      'too_small',
      'too small: expected number to be >=0',
    ],
    [
      'a payload with more than its schema',
      volume(0, { payload: { ...COUNTS, 'a/b~': 1 } }),
      '/payload/a~1b~0',
      'unrecognized_keys',
      'expected no such property',
    ],
    [
      'an outcome where there is none',
      volume(0, { outcome: 'pass' }),
      '/outcome',
      'outcome',
      'expected none for ingestion_volume, got pass',
    ],
    [
      'no outcome where there is one',
      volume(0, { kind: 'guard_decision', payload: { guard: 'ingestion', reasons: [] } }),
      '/outcome',
      'outcome',
      'expected one of pass, warn, block, got none',
    ],
    [
      'an extra that cannot be filtered by',
      withExtras({ lane: ['live'] }),
      '/extras/lane',
      'facet',
      'expected text, a number or a boolean of at most 128 characters to filter by',
    ],
    [
      'no run, window or key',
      { ...volume(0), window: undefined, context: { namespace: 'x' } },
      '',
      'no-identity',
      'expected a run, a window or a key that names the fact, got none',
    ],
    [
      'links of no run',
      { ...volume(0), context: { namespace: 'x' }, links: { parent: 'p' } },
      '/links',
      'no-run',
      'expected a run that is linked, got none',
    ],
    [
      'a hundred links',
      volume(0, { links: { baselineRuns: Array.from({ length: 100 }, String) } }),
      '/links',
      'custom',
      'expected less than 100 links and a parent',
    ],
  ])('is refused with %s, with a pointer to it', (_what, input, pointer, code, detail) => {
    expect(problemOf(input)).toEqual({
      code: 'record-schema-invalid',
      detail: `record${pointer}: ${detail}`,
      errors: [{ pointer, code, detail }],
      retriable: false,
    })
  })

  test.each<[string, unknown, string, string]>([
    ['an unknown kind', volume(0, { kind: 'volume' }), 'unknown-kind', 'kind: expected one of ingestion_volume, '],
    [
      'an unknown version',
      volume(0, { kindVersion: '1.1' }),
      'unknown-kind-version',
      'kind ingestion_volume: expected version 1.0, got 1.1',
    ],
    [
      'a time of production in the future',
      volume(0, { producedAt: '2026-01-01T00:05:00.000001Z' }),
      'produced-at-in-future',
      'producedAt: expected at most 5 minutes in the future, got 2026-01-01T00:05:00.000001Z',
    ],
    [
      'a window that is not closed',
      volume(0, { window: { start: '2025-12-31T00:00:00Z', end: '2026-01-02T00:00:00Z' } }),
      'produced-at-in-future',
      'window end: expected at most 5 minutes in the future, got 2026-01-02T00:00:00.000000Z',
    ],
    [
      'another tenant',
      volume(0, { context: { namespace: 'x', runId: 'r', environment: { tenant: 'theirs' } } }),
      'wrong-tenant',
      'tenant: expected ours, got theirs',
    ],
    [
      'more than 256 KiB',
      withExtras({ a: 'ä'.repeat(131_072) }),
      'record-too-large',
      'record: expected at most 262144 bytes, got 262',
    ],
  ])('is refused with %s', (_what, input, code, detail) => {
    const problem = problemOf(input)
    expect(problem).toMatchObject({ code, retriable: false })
    expect(problem?.detail).toContain(detail)
  })

  test('is told everything that is wrong at once', () => {
    const input = volume(0, { outcome: 'pass', payload: { ...COUNTS, records: 'ten', inserted: -1 } })
    expect(problemOf(input)?.errors.map(({ pointer }) => pointer)).toEqual([
      '/outcome',
      '/payload/records',
      '/payload/inserted',
    ])
  })

  test('five minutes are no future: clocks differ', () => {
    expect(problemOf(volume(0, { producedAt: '2026-01-01T00:05:00Z' }))).toBeNull()
  })

  test('a graph that refers to itself many times is given up on', () => {
    const graph: Record<string, unknown> = {}
    for (const name of ['a', 'b', 'c', 'd']) graph[name] = graph
    expect(problemOf(withExtras(graph))?.errors).toHaveLength(20)
  })

  test('a list that claims to be endless is not walked', () => {
    expect(problemOf(withExtras({ a: new Array(4_000_000_000) }))?.errors).toMatchObject([{ code: 'too-many-values' }])
  })

  test('thirty-two levels are not too many', () => {
    expect(problemOf(withExtras(nested(31)))).toBeNull()
  })

  describe('as text', () => {
    const text = (extras: string) => JSON.stringify(withExtras('?')).replace('"?"', extras)

    test.each<[string, string, string, string]>([
      ['no JSON', '{', '', 'not-json'],
      ['nothing', '', '', 'not-json'],
      ['100,000 nested lists', '['.repeat(100_000), '', 'depth'],
      ['100,000 nested objects', '{"a":'.repeat(100_000), '', 'depth'],
      ['1e400', text('{"a":1e400}'), '/extras/a', 'not-finite'],
      ['an integer that no number holds', text('{"a":9007199254740993}'), '/extras/a', 'unsafe-integer'],
      ['an escaped NUL', text('{"a":"\\u0000"}'), '/extras/a', 'nul'],
      ['an escaped lone surrogate', text('{"a":"\\udc00"}'), '/extras/a', 'lone-surrogate'],
      ['__proto__', text('{"__proto__":{"a":1}}'), '/extras/__proto__', 'reserved-name'],
    ])('is refused with %s', (_what, input, pointer, code) => {
      expect(problemOfText(input)).toMatchObject({ code: 'record-schema-invalid', errors: [{ pointer, code }] })
    })

    test('brackets in text do not nest', () => {
      expect(problemOfText(text(JSON.stringify({ a: `\\"${'['.repeat(100)}` })))).toBeNull()
    })

    test('is not even parsed where it is far too long', () => {
      expect(problemOfText(' '.repeat(2_000_000))?.code).toBe('record-too-large')
    })
  })

  test('whatever it is, it is refused or taken: nothing throws', () => {
    const anything = fc.anything({
      withBigInt: true,
      withDate: true,
      withMap: true,
      withSparseArray: true,
      withTypedArray: true,
      maxDepth: 4,
    })
    fc.assert(
      fc.property(anything, fc.constantFrom(...Object.keys(volume(0)), 'links', 'extras', 'key'), (value, field) => {
        checkRecord(value, options)
        checkRecord({ ...volume(0), [field]: value }, options)
        checkRecordText(String(JSON.stringify(volume(0))).slice(0, 40) + String(typeof value), options)
      }),
    )
  })
})

describe('what a record is', () => {
  test('its name is producer, kind, target, scope, run and window, and nothing else', () => {
    const record = volume(0)
    const same = [
      { ...record, payload: { ...COUNTS, inserted: 6, updated: 2 }, producedAt: '2025-05-05T00:00:00Z' },
      { ...record, extras: { a: 1 }, quality: 'estimated', revision: 2, scope: '' },
      { ...record, context: { ...record.context, jobId: 'j' }, target: { ...TARGET, extras: { a: 1 } } },
      { ...record, window: { start: '2024-01-01T02:00:00+02:00', end: '2024-01-02T00:00:00.000Z' } },
      { ...record, recordId: 'chosen', storedAt: 'then' },
    ]
    expect(new Set([record, ...same].map(keyOf)).size).toBe(1)
    const others = [
      { ...record, producerId: 'other.v1' },
      { ...record, target: { ...TARGET, schema: 'bars/TSLA', table: '1d' } },
      { ...record, target: { ...TARGET, schema: 'BARS' } },
      { ...record, scope: 'a' },
      { ...record, context: { namespace: 'ingest', runId: 'run-1' } },
      { ...record, context: { namespace: 'ingest' } },
      { ...record, window: undefined },
      { ...record, key: 'run-0' },
    ]
    expect(new Set([record, ...others].map(keyOf)).size).toBe(1 + others.length)
  })

  test('what it says is all but its id, time of production and context', () => {
    const record = volume(0)
    const same = [
      { ...record, producedAt: '2025-05-05T00:00:00Z', context: { namespace: 'other', runId: 'r', jobId: 'j' } },
      { ...record, payload: Object.fromEntries(Object.entries(COUNTS).reverse()), scope: '' },
    ]
    expect(new Set([record, ...same].map(contentOf)).size).toBe(1)
    const others = [
      { ...record, payload: { ...COUNTS, pages: 1 } },
      { ...record, extras: {} },
      { ...record, quality: 'estimated' },
      { ...record, links: { parent: 'p' } },
      { ...record, scope: 'a' },
      { ...record, window: undefined },
    ]
    expect(new Set([record, ...others].map(contentOf)).size).toBe(1 + others.length)
  })
})
