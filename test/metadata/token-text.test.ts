import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  formatToken,
  hashSecret,
  newTokenParts,
  parseToken,
  secretMatches,
} from '../../shared/metadata/access/token-text.ts'

const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

const digits = (length: number) =>
  fc.array(fc.constantFrom(...DIGITS), { minLength: length, maxLength: length }).map((all) => all.join(''))
const parts = fc.record({
  environment: fc.stringMatching(/^[a-z0-9-]{1,32}$/),
  tokenId: digits(16),
  secret: digits(43),
})

describe('the text of a token', () => {
  test('is read back as what was written', () => {
    fc.assert(
      fc.property(parts, (token) => {
        expect(parseToken(formatToken(token))).toEqual(token)
      }),
    )
  })

  test('is refused with any single character changed, left out or added', () => {
    const change = fc.record({ at: fc.nat(), to: fc.constantFrom(...DIGITS, '_', '-', ' ', 'ä', '\u0000') })
    fc.assert(
      fc.property(parts, change, (token, { at, to }) => {
        const text = formatToken(token)
        const place = at % text.length
        const [before, after] = [text.slice(0, place), text.slice(place + 1)]
        for (const changed of [`${before}${to}${after}`, `${before}${after}`, `${before}${to}${text.slice(place)}`]) {
          // A repeated digit may be left out or doubled anywhere in its run: it is the length that tells.
          if (changed !== text) expect(parseToken(changed)).toBeUndefined()
        }
      }),
      { numRuns: 1_000 },
    )
  })

  test('is refused with two characters that changed places', () => {
    fc.assert(
      fc.property(parts, fc.nat(), (token, at) => {
        const text = formatToken(token)
        const place = at % (text.length - 1)
        const [one, two] = [text.charAt(place), text.charAt(place + 1)]
        fc.pre(one !== two)
        const changed = `${text.slice(0, place)}${two}${one}${text.slice(place + 2)}`
        expect(parseToken(changed)).toBeUndefined()
      }),
    )
  })

  test('of a new token has the documented form', () => {
    const text = formatToken(newTokenParts('prod'))
    expect(text).toMatch(/^trb_prod_[0-9A-Za-z]{16}_[0-9A-Za-z]{49}$/)
  })

  test('does not change between two versions of the code', () => {
    const token = { environment: 'test', tokenId: 'A'.repeat(16), secret: 'b'.repeat(43) }
    expect(formatToken(token)).toBe(`trb_test_${'A'.repeat(16)}_${'b'.repeat(43)}16yIni`)
  })
})

describe('the comparison of secrets', () => {
  const { secret } = newTokenParts('test')

  test('takes the secret and nothing else', () => {
    expect(secretMatches(secret, hashSecret(secret))).toBe(true)
    expect(secretMatches(newTokenParts('test').secret, hashSecret(secret))).toBe(false)
  })

  test('takes nothing where there is no token, nor where what is stored is no hash', () => {
    expect(secretMatches(secret, null)).toBe(false)
    expect(secretMatches(secret, new Uint8Array())).toBe(false)
    expect(secretMatches(secret, hashSecret(secret).subarray(0, 16))).toBe(false)
  })
})
