import fc from 'fast-check'
import { expect, test } from 'vitest'
import { keepable, parseJson } from '../../shared/sources/lossless-json.ts'

const parsed = (text: string) => parseJson(text)?.value

test.each<[string, unknown]>([
  ['{"n":9007199254740991}', { n: 9007199254740991 }],
  ['{"n":9007199254740993}', { n: 9007199254740993n }],
  ['{"n":-9007199254740993}', { n: -9007199254740993n }],
  ['[ 9223372036854775807 ,18446744073709551615]', [9223372036854775807n, 18446744073709551615n]],
  ['{"n":0.12345678901234567}', { n: Number('0.12345678901234567') }],
  ['{"n":1234567890123456.5}', { n: 1234567890123456.5 }],
  ['{"n":12345678901234567e2}', { n: Number('12345678901234567e2') }],
  ['{"s":"9007199254740993","n":9007199254740993}', { s: '9007199254740993', n: 9007199254740993n }],
  ['{"s":"a\\":9007199254740993,","n":9007199254740993}', { s: 'a":9007199254740993,', n: 9007199254740993n }],
  [
    '{"9007199254740993" : ["i1","s",""],"n":9007199254740993}',
    { '9007199254740993': ['i1', 's', ''], n: 9007199254740993n },
  ],
])('%s keeps every digit', (text, value) => {
  expect(parsed(text)).toEqual(value)
})

test.each(['', '{', '{"n":09007199254740993}', '{"n":9007199254740993', "{'a':1}"])('%j is no json', (text) => {
  expect(parseJson(text)).toBe(undefined)
})

test('a document with a long integer in it is what JSON.parse gives, but for long integers', () => {
  const isLong = (value: unknown) => typeof value === 'number' && Math.abs(value) >= 2 ** 53 && Math.abs(value) < 1e21
  fc.assert(
    fc.property(fc.jsonValue(), fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n }), (value, long) => {
      const text = JSON.stringify(value)
      const expected = JSON.parse(text, (_key, item) => (isLong(item) ? BigInt(String(item)) : item))
      expect(parsed(`{"long":${long},"value":${text}}`)).toEqual({ long, value: expected })
    }),
    { numRuns: 1_000 },
  )
})

test('what is kept of a value is json again, whatever it was', () => {
  const deep = JSON.parse(`${'['.repeat(100_000)}${']'.repeat(100_000)}`)
  const kept = keepable({ n: 9007199254740993n, list: [1n, null, 'a'], deep })
  expect(JSON.stringify(kept)).toBe('{"n":"9007199254740993","list":["1",null,"a"],"deep":[[[[[[["…"]]]]]]]}')
})

test('a long integer is found wherever it stands', () => {
  const digits = '1234567890123456'
  for (let before = 0; before < 40; before++) {
    const text = `{"${'x'.repeat(before)}":${digits}7}`
    expect(Object.values(parseJson(text)?.value as object), text).toEqual([12345678901234567n])
  }
})
