import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodePathPart, encodePathPart } from '../../shared/path-part.ts'

describe('encodePathPart', () => {
  test.each([
    ['AAPL', 'AAPL'],
    ['BRK.B', 'BRK.B'],
    ['^NDX', '%5ENDX'],
    ['BTC/USD', 'BTC%2FUSD'],
    ['GC=F', 'GC%3DF'],
    ['../../x', '..%2F..%2Fx'],
    ['TSLA@sip', 'TSLA%40sip'],
    ['a b', 'a%20b'],
    ['100%', '100%25'],
    ["!'()*", '%21%27%28%29%2A'],
    ['ÅÄÖ', '%C3%85%C3%84%C3%96'],
    ['😀', '%F0%9F%98%80'],
    ['a~b-c_d', 'a~b-c_d'],
  ])('writes %j as %s', (text, part) => {
    expect(encodePathPart(text)).toBe(part)
    expect(decodePathPart(part)).toBe(text)
  })

  test.each([
    ['NULL', '%4EULL'],
    ['null', '%6Eull'],
    ['Null', '%4Eull'],
    ['__HIVE_DEFAULT_PARTITION__', '%5F_HIVE_DEFAULT_PARTITION__'],
    ['.', '%2E'],
    ['..', '%2E%2E'],
    ['CON', '%43ON'],
    ['con', '%63on'],
    ['Aux.gz', '%41ux.gz'],
    ['COM0', '%43OM0'],
    ['lpt9.txt', '%6Cpt9.txt'],
    ['NUL.', '%4EUL%2E'],
  ])('encodes the first character of the reserved word %j', (text, part) => {
    expect(encodePathPart(text)).toBe(part)
    expect(decodePathPart(part)).toBe(text)
  })

  test.each(['NULLS', 'CONE', 'COM10', 'xCON', 'NUL-1', '...a'])('leaves %j, which only begins like one', (text) => {
    expect(encodePathPart(text)).toBe(text)
  })

  test('encodes a dot at the end, which Azure would drop', () => {
    expect(encodePathPart('INC.')).toBe('INC%2E')
  })

  test('keeps case, because names of Azure blobs do', () => {
    expect(encodePathPart('brk.b')).not.toBe(encodePathPart('BRK.B'))
  })

  test('gives every text back, and no two texts the same part', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (text) => {
        const part = encodePathPart(text)
        expect(part).toMatch(/^[A-Za-z0-9._~%-]+$/)
        expect(part).not.toMatch(/\.$/)
        expect(decodePathPart(part)).toBe(text)
      }),
      { numRuns: 2_000 },
    )
  })

  test.each([
    ['', 'path part: expected text, got ""'],
    ['a\ud800b', 'path part: expected well-formed text, got a lone surrogate in "a\\ud800b"'],
    ['\udc00', 'path part: expected well-formed text, got a lone surrogate in "\\udc00"'],
  ])('refuses %j', (text, message) => {
    expect(() => encodePathPart(text)).toThrow(new Error(message))
  })
})

describe('decodePathPart', () => {
  test.each(['', '%', '%4', '%zz', '%C3', '%5endx', 'a/b', 'a b', 'NULL', '%41', '..', 'a.'])(
    'refuses %j, which is no encoding',
    (part) => {
      expect(() => decodePathPart(part)).toThrow(
        new Error(`path part: expected percent-encoded text, got ${JSON.stringify(part)}`),
      )
    },
  )
})
