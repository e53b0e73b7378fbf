import { describe, expect, test } from 'vitest'
import { KINDS, payloadSchema } from '../../shared/metadata/model/kinds.ts'
import { readSchema } from '../../shared/metadata/registry/schema.ts'

const object = (keywords: object = {}) => ({ type: 'object', ...keywords })
const ofA = (a: unknown) => object({ properties: { a } })
const errorsOf = (input: unknown) => {
  const read = readSchema(input)
  return read.ok ? [] : read.errors.map(({ pointer, code }) => [pointer, code])
}
const nested = (levels: number): object =>
  levels === 1 ? { type: 'string' } : object({ properties: { a: nested(levels - 1) } })
const wide = (properties: number) =>
  object({
    properties: Object.fromEntries(
      Array.from({ length: properties }, (_, index) => [`p${index}`, { type: 'boolean' }]),
    ),
  })

describe('a schema that may be registered', () => {
  test('says all that the listed keywords can say', () => {
    const schema = object({
      title: 'Order book',
      description: 'one side of it',
      required: ['side'],
      additionalProperties: false,
      examples: [{ side: 'bid', levels: [{ price: 1.5, size: 2 }], id: null }],
      properties: {
        side: { type: 'string', enum: ['bid', 'ask'], 'x-open-enum': true },
        market: { type: 'string', const: 'NYSE', minLength: 1, maxLength: 10 },
        id: { type: ['string', 'null'], format: 'uuid', deprecated: true },
        at: { type: 'string', format: 'date-time' },
        levels: {
          type: 'array',
          minItems: 1,
          maxItems: 500,
          items: object({
            properties: {
              price: { type: 'number', minimum: 0, 'x-unit': 'USD' },
              size: { type: 'integer', maximum: 9 },
            },
          }),
        },
        labels: object({ additionalProperties: { type: 'string' } }),
      },
    })
    expect(errorsOf(schema)).toEqual([])
  })

  test.each(['schedule', 'ingestion_volume', 'ingestion_runtime', 'catalog_diff', 'recon_result'])(
    'could be that of %s, but for the keywords that are the own of the platform',
    (kind) => {
      const json = JSON.stringify(payloadSchema(KINDS.get(kind) as never))
      const schema = JSON.parse(json, (name, value) =>
        ['$schema'].includes(name) || value === 'sha256' ? undefined : value,
      )
      expect(errorsOf(schema)).toEqual([])
    },
  )

  test('has at most 8 levels, 500 properties and 64 KiB', () => {
    const large = (chars: number) => ({ ...object(), description: 'x'.repeat(chars) })
    const frame = JSON.stringify(large(0)).length
    expect([nested(8), wide(500), large(65_536 - frame)].map(errorsOf)).toEqual([[], [], []])
    expect(errorsOf(nested(9))).toEqual([['/properties/a'.repeat(8), 'depth']])
    expect(errorsOf(wide(501))).toEqual([['/properties', 'too-many-properties']])
    expect(errorsOf(large(65_537 - frame))).toEqual([['', 'too-large']])
  })
})

describe('a schema is refused', () => {
  test.each<[string, unknown, (readonly [string, string])[]]>([
    ['that is none', 'object', [['', 'type']]],
    ['that is nothing', undefined, [['', 'not-json']]],
    ['of something that is no payload', { type: 'string' }, [['/type', 'type']]],
    ['of something that may be no payload', { type: ['object', 'null'] }, [['/type', 'type']]],
    ['without a type', {}, [['/type', 'invalid_union']]],
    ['with a property without a type', ofA({ enum: ['x'] }), [['/properties/a/type', 'invalid_union']]],
    ['with a type that JSON does not have', ofA({ type: 'date' }), [['/properties/a/type', 'invalid_union']]],
    ['with a property that is no schema', ofA(true), [['/properties/a', 'custom']]],
    [
      'with a remote reference',
      ofA({ type: 'object', $ref: 'https://example.org/schema' }),
      [['/properties/a/$ref', 'keyword']],
    ],
    [
      'with a reference to itself',
      object({ properties: { a: { type: 'object', $ref: '#' } } }),
      [['/properties/a/$ref', 'keyword']],
    ],
    ['with definitions', object({ $defs: { a: object() } }), [['/$defs', 'keyword']]],
    ['with a pattern', ofA({ type: 'string', pattern: '^(a+)+$' }), [['/properties/a/pattern', 'keyword']]],
    [
      'with patterns of names',
      object({ patternProperties: { '^(a+)+$': object() } }),
      [['/patternProperties', 'keyword']],
    ],
    ...['allOf', 'anyOf', 'oneOf'].map((name): [string, unknown, [string, string][]] => [
      `with ${name}`,
      object({ [name]: [object()] }),
      [[`/${name}`, 'keyword']],
    ]),
    ...['not', 'if', '$dynamicRef', '$id', '$schema', 'unevaluatedProperties', 'uniqueItems'].map(
      (name): [string, unknown, [string, string][]] => [
        `with ${name}`,
        object({ [name]: {} }),
        [[`/${name}`, 'keyword']],
      ],
    ),
    [
      'with a format that nobody checks',
      ofA({ type: 'string', format: 'regex' }),
      [['/properties/a/format', 'invalid_value']],
    ],
    [
      'with a property __proto__',
      JSON.parse('{"type":"object","properties":{"__proto__":{"type":"string"}}}'),
      [['/properties/__proto__', 'reserved-name']],
    ],
    [
      'with a property constructor',
      object({ properties: { constructor: { type: 'string' } } }),
      [['/properties/constructor', 'reserved-name']],
    ],
    [
      'with a property prototype',
      object({ properties: { prototype: { type: 'string' } } }),
      [['/properties/prototype', 'reserved-name']],
    ],
    [
      'with a property without a name',
      object({ properties: { '': { type: 'string' } } }),
      [['/properties/', 'invalid_key']],
    ],
    ['with NUL', object({ title: 'a\u0000' }), [['/title', 'nul']]],
    ['that requires what it does not name', object({ required: ['a'] }), [['/required/0', 'required']]],
    [
      'that requires what every object inherits',
      object({ properties: {}, required: ['toString'] }),
      [['/required/0', 'required']],
    ],
    [
      'with a minimum above the maximum',
      ofA({ type: 'number', minimum: 2, maximum: 1 }),
      [['/properties/a/minimum', 'minimum']],
    ],
    ['with a negative length', ofA({ type: 'string', minLength: -1 }), [['/properties/a/minLength', 'too_small']]],
    ['with a keyword of another type', ofA({ type: 'string', minimum: 1 }), [['/properties/a/minimum', 'minimum']]],
    ['with an empty enum', ofA({ type: 'string', enum: [] }), [['/properties/a/enum', 'too_small']]],
    ['with an enum of another type', ofA({ type: 'string', enum: ['x', 1] }), [['/properties/a/enum/1', 'enum']]],
    ['with an enum of objects', ofA({ type: 'object', enum: [{}] }), [['/properties/a/enum/0', 'custom']]],
    ['with an enum that repeats itself', ofA({ type: 'string', enum: ['x', 'x'] }), [['/properties/a/enum', 'enum']]],
    [
      'with an enum and a constant',
      ofA({ type: 'string', enum: ['x'], const: 'x' }),
      [['/properties/a/const', 'const']],
    ],
    [
      'with an open enum without values',
      ofA({ type: 'string', 'x-open-enum': true }),
      [['/properties/a/x-open-enum', 'x-open-enum']],
    ],
    [
      'with an open enum of numbers',
      ofA({ type: ['string', 'integer'], enum: ['x', 1], 'x-open-enum': true }),
      [['/properties/a/x-open-enum', 'x-open-enum']],
    ],
    [
      'with an enum that is a bit open',
      ofA({ type: 'string', enum: ['x'], 'x-open-enum': 'maybe' }),
      [['/properties/a/x-open-enum', 'x-open-enum']],
    ],
    ['with an extension of no name', object({ 'x-': 1 }), [['/x-', 'keyword']]],
    [
      'with an example that it refuses',
      { ...ofA({ type: 'integer' }), examples: [{ a: 1 }, { a: 'x', b: 1 }] },
      [
        ['/examples/1/a', 'type'],
        ['/examples/1/b', 'additionalProperties'],
      ],
    ],
    [
      'with an example of a property that it refuses',
      ofA({ type: 'integer', examples: [1, 1.5] }),
      [['/properties/a/examples/1', 'type']],
    ],
  ])('%s', (_name, input, expected) => {
    expect(errorsOf(input)).toEqual(expected)
  })

  test('with pointers below the place where it stands', () => {
    expect(readSchema(ofA({ type: 'date' }), ['schema'])).toMatchObject({
      errors: [{ pointer: '/schema/properties/a/type' }],
    })
    expect(readSchema(object({ title: '\u0000' }), ['schema'])).toMatchObject({
      errors: [{ pointer: '/schema/title' }],
    })
  })

  const endless: Record<string, unknown> = { type: 'object' }
  endless.properties = { a: endless }
  const names = (count: number) => Array.from({ length: count }, (_, index) => `n${index}`)
  test.each<[string, unknown]>([
    ['it contains itself', endless],
    ['20,000 levels', names(20_000).reduce<object>((inner) => object({ properties: { a: inner } }), {})],
    ['150,000 keywords', Object.fromEntries(names(150_000).map((name) => [name, 1]))],
    ['6,000 keywords within the limit of bytes', Object.fromEntries(names(6_000).map((name) => [name, 1]))],
    ['100,000 properties', wide(100_000)],
    ['an enum of 10,000 values', ofA({ type: 'integer', enum: names(10_000).map((_, index) => index) })],
    [
      '15,000 wrong examples of an enum of 1,000',
      { ...ofA({ type: 'string', enum: names(1_000) }), examples: names(15_000).map(() => 1) },
    ],
    ['6,000 required names', object({ required: names(6_000) })],
  ])('with at most 20 errors, however hostile it is: %s', (_name, input) => {
    const read = readSchema(input)
    expect(read.ok ? 0 : read.errors.length).toBeGreaterThan(0)
    expect(read.ok ? 0 : read.errors.length).toBeLessThanOrEqual(20)
  })
})
