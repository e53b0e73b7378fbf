import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseInstant } from '../../shared/instant.ts'
import { createSecondsReader } from '../../shared/sources/seconds-reader.ts'

const spelled = fc.oneof(
  fc
    .date({ min: new Date('1969-12-30T00:00:00Z'), max: new Date('1970-01-03T00:00:00Z'), noInvalidDate: true })
    .map((date) => `${date.toISOString().slice(0, 19)}Z`),
  fc.constantFrom('1970-01-01T23:59:59+00:00', '1970-01-01T00:00:00.25Z', '9999-12-31T23:59:59Z', '', 'Z'),
)
const misspelled = fc
  .tuple(spelled, fc.nat(19), fc.constantFrom('0', '9', '2', ':', '-', 'T', 't', 'Z', 'z', ' ', '/', '٣'))
  .map(([text, at, char]) => `${text.slice(0, at)}${char}${text.slice(at + 1)}`)

test('whatever was read before, an instant is what parseInstant says', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(spelled, misspelled), { minLength: 2, maxLength: 20 }), (texts) => {
      const secondsOf = createSecondsReader()
      for (const text of texts) {
        const micros = parseInstant(text)
        const seconds = micros === undefined ? undefined : Number(micros / 1_000n) / 1_000
        expect([text, secondsOf(text)]).toEqual([text, seconds])
      }
    }),
    { numRuns: 2_000 },
  )
})
