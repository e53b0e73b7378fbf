import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { JsonValue } from '../../shared/json.ts'
import { schemaErrors } from '../../shared/metadata/registry/interpret.ts'
import { readerView } from '../../shared/metadata/registry/reader-view.ts'
import { writerSchema } from '../../shared/metadata/registry/schema.ts'
import { anySchema, choices, payloadFor, schemaOf } from './registry-arbitrary.ts'

const object = (keywords: object = {}) => ({ type: 'object', ...keywords })
const ofA = (a: object) => object({ properties: { a } })
const errorsOf = (schema: object, payload: JsonValue) =>
  schemaErrors(payload, schemaOf(schema), ['payload']).map(({ pointer, code }) => [pointer, code])

describe('a payload, by a registered schema', () => {
  test.each<[string, object, JsonValue, (readonly [string, string])[]]>([
    ['of another type', ofA({ type: 'string' }), { a: 1 }, [['/payload/a', 'type']]],
    ['that is no whole number', ofA({ type: 'integer' }), { a: 1.5 }, [['/payload/a', 'type']]],
    ['that is null', ofA({ type: 'string' }), { a: null }, [['/payload/a', 'type']]],
    [
      'without what is required',
      object({ properties: { a: { type: 'string' } }, required: ['a'] }),
      {},
      [['/payload/a', 'required']],
    ],
    [
      'without what every object inherits',
      object({ properties: { toString: { type: 'string' } }, required: ['toString'] }),
      {},
      [['/payload/toString', 'required']],
    ],
    ['with what is not named', ofA({ type: 'string' }), { b: 1 }, [['/payload/b', 'additionalProperties']]],
    [
      'with what is not named, deep down',
      ofA(object()),
      { a: { 'b/c': 1 } },
      [['/payload/a/b~1c', 'additionalProperties']],
    ],
    [
      'with another value in a map',
      ofA(object({ additionalProperties: { type: 'string' } })),
      { a: { b: 1 } },
      [['/payload/a/b', 'type']],
    ],
    ['with another value of an enum', ofA({ type: 'string', enum: ['x'] }), { a: 'y' }, [['/payload/a', 'enum']]],
    [
      'with another value of an open enum: writers know theirs',
      ofA({ type: 'string', enum: ['x'], 'x-open-enum': true }),
      { a: 'y' },
      [['/payload/a', 'enum']],
    ],
    ['with another constant', ofA({ type: 'integer', const: 1 }), { a: 2 }, [['/payload/a', 'enum']]],
    ['that is too small', ofA({ type: 'number', minimum: 1 }), { a: 0.5 }, [['/payload/a', 'minimum']]],
    ['that is too large', ofA({ type: 'number', maximum: 1 }), { a: 1.5 }, [['/payload/a', 'maximum']]],
    ['that is too short', ofA({ type: 'string', minLength: 2 }), { a: '𝄞' }, [['/payload/a', 'minLength']]],
    ['that is too long', ofA({ type: 'string', maxLength: 1 }), { a: '𝄞𝄞' }, [['/payload/a', 'maxLength']]],
    ['with too few items', ofA({ type: 'array', minItems: 1 }), { a: [] }, [['/payload/a', 'minItems']]],
    ['with too many items', ofA({ type: 'array', maxItems: 1 }), { a: [1, 'x'] }, [['/payload/a', 'maxItems']]],
    [
      'with a wrong item',
      ofA({ type: 'array', items: { type: 'string' } }),
      { a: ['x', 1] },
      [['/payload/a/1', 'type']],
    ],
    [
      'with no instant',
      ofA({ type: 'string', format: 'date-time' }),
      { a: '2024-02-30T00:00:00Z' },
      [['/payload/a', 'format']],
    ],
    ['with no uuid', ofA({ type: 'string', format: 'uuid' }), { a: 'x' }, [['/payload/a', 'format']]],
  ])('%s is refused', (_name, schema, payload, expected) => {
    expect(errorsOf(schema, payload)).toEqual(expected)
  })

  test('may say anything below extras', () => {
    const schema = object({ properties: { extras: object() } })
    expect(errorsOf(schema, { extras: { whatever: [{ it: 'is' }] } })).toEqual([])
    expect(
      errorsOf(object({ properties: { extras: object({ additionalProperties: false }) } }), { extras: { a: 1 } }),
    ).toEqual([['/payload/extras/a', 'additionalProperties']])
  })

  test('is refused for at most 20 reasons, however many there are', () => {
    const many = Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`n${index}`, index]))
    expect(errorsOf(object(), many)).toHaveLength(20)
    expect(
      errorsOf(ofA({ type: 'array', items: { type: 'string' } }), { a: Array.from({ length: 100_000 }, () => 1) }),
    ).toHaveLength(20)
  })

  test('is judged as ajv judges it by the schema that says what is closed', () => {
    // Else it takes `toString`, which every object inherits, for a property of each.
    const ajv = new Ajv2020({ strict: false, ownProperties: true })
    // The package's types are of CommonJS.
    const formats = addFormats as unknown as (ajv: Ajv2020, names: string[]) => void
    formats(ajv, ['date-time', 'uuid'])
    const judged = { valid: 0, invalid: 0 }
    fc.assert(
      fc.property(anySchema, choices, (json, choose) => {
        const schema = schemaOf(json)
        const validate = ajv.compile(writerSchema(json as { [key: string]: JsonValue }))
        for (let round = 0; round < 30; round++) {
          const payload = payloadFor(json, choose)
          const isValid = validate(payload)
          judged[isValid ? 'valid' : 'invalid']++
          expect([schemaErrors(payload, schema).length === 0, payload]).toEqual([isValid, payload])
        }
      }),
      { numRuns: 60 },
    )
    expect([judged.valid > 100, judged.invalid > 100]).toEqual([true, true])
  })
})

describe('a reader who was written for a version', () => {
  const schema = schemaOf({
    ...object({
      properties: {
        side: { type: 'string', enum: ['bid', 'ask'], 'x-open-enum': true },
        market: { type: 'string', enum: ['NYSE'] },
        levels: { type: 'array', items: object({ properties: { price: { type: 'number' } } }) },
        labels: object({ additionalProperties: { type: 'string', enum: ['x'], 'x-open-enum': true } }),
        extras: object(),
      },
    }),
  })

  test('does not see what was added later, and takes values of open enums that were added later for unknown', () => {
    const later = {
      side: 'both',
      market: 'LSE',
      added: 1,
      levels: [{ price: 1, added: 2 }],
      labels: { a: 'x', b: 'later' },
      extras: { anything: { goes: true } },
    }
    expect(readerView(later, schema)).toEqual({
      side: 'unknown',
      market: 'LSE',
      levels: [{ price: 1 }],
      labels: { a: 'x', b: 'unknown' },
      extras: { anything: { goes: true } },
    })
  })

  test('sees what was written for its own version as it is', () => {
    fc.assert(
      fc.property(anySchema, choices, (json, choose) => {
        const own = schemaOf(json)
        const payload = payloadFor(json, choose)
        if (schemaErrors(payload, own).length === 0) expect(readerView(payload, own)).toEqual(payload)
      }),
    )
  })
})
