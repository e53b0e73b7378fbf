import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { ARTIFACT_FORMATS } from '../../shared/metadata/history/artifacts/recognise.ts'
import { readValues } from '../../shared/metadata/history/read-values.ts'

const BYTES_MAX = 60

/** In chunks of this size, as a file comes. */
async function* chunksOf(bytes: Uint8Array, size: number) {
  for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size)
}

async function found(text: string | Uint8Array, size = 7) {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text
  const values: unknown[] = []
  for await (const value of readValues(chunksOf(bytes, size), BYTES_MAX)) {
    values.push(value.ok ? [value.line, value.value] : `${value.line}: ${value.reason}`)
  }
  return values
}

const NOT_JSON = 'expected JSON, got another text'

describe('the values of an artifact', () => {
  test('are those of its lines, blank ones left out, the last without an end', async () => {
    expect(await found('{"a":1}\r\n\n  \n{"b":2}')).toEqual([
      [1, { a: 1 }],
      [4, { b: 2 }],
    ])
  })

  test('are the items of one document of many lines', async () => {
    expect(await found('\n[\n {"a":1},\n {"b":2}\n]\n')).toEqual([
      [2, { a: 1 }],
      [2, { b: 2 }],
    ])
    expect(await found('\uFEFF{\n"a":\n1}')).toEqual([[1, { a: 1 }]])
  })

  test('a line that is torn spoils no other, wherever it stands', async () => {
    const torn = '{"a":'
    expect(await found(`${torn}\n{"b":2}\n${torn}`)).toEqual([`1: ${NOT_JSON}`, [2, { b: 2 }], `3: ${NOT_JSON}`])
  })

  test('of a document that was cut off there is one complaint', async () => {
    expect(await found('{\n"a": [\n1,\n2')).toEqual(['1: expected JSON lines or one JSON document, got neither'])
  })

  test('a line that is no UTF-8 spoils no other', async () => {
    const bytes = Buffer.concat([Buffer.from('{"a":1}\n"'), Buffer.from([0xff, 0xfe]), Buffer.from('"\n{"b":2}')])
    expect(await found(bytes)).toEqual([[1, { a: 1 }], '2: expected UTF-8, got other bytes', [3, { b: 2 }]])
  })

  test.each([1, 7, 1_000])('a line that is too long is skipped, in chunks of %s bytes', async (size) => {
    const long = `"${'x'.repeat(BYTES_MAX)}"`
    const reason = `expected at most ${BYTES_MAX} bytes in a line, got more`
    expect(await found(`${long}\n{"a":1}\n${long}\n{"b":2}\n${long}`, size)).toEqual([
      `1: ${reason}`,
      [2, { a: 1 }],
      `3: ${reason}`,
      [4, { b: 2 }],
      `5: ${reason}`,
    ])
  })

  test('a document that is too long is read as lines, of which those that are JSON are told', async () => {
    const lines = ['[', ...Array.from({ length: 12 }, () => '{"a":1},'), '{"b":2}']
    const values = await found(lines.join('\n'))
    expect(values.at(-1)).toEqual([14, { b: 2 }])
    expect(values).toHaveLength(14)
  })

  test('nesting, NUL and numbers that no record holds are refused', async () => {
    expect(await found(`{}\n${'['.repeat(40)}\n{"a":"\\u0000"}\n{"a":1e400}`)).toEqual([
      [1, {}],
      '2: expected at most 32 levels, got more',
      '3: /a: expected text without NUL',
      '4: /a: expected a finite number, got Infinity',
    ])
  })

  test('do not depend on where the chunks of the file end', async () => {
    const lines = fc.array(fc.oneof(fc.json({ maxDepth: 1 }), fc.string({ maxLength: 80 }), fc.constant('{"ä":"€"}')))
    await fc.assert(
      fc.asyncProperty(lines, fc.integer({ min: 1, max: 9 }), async (texts, size) => {
        const text = texts.join('\n')
        expect(await found(text, size)).toEqual(await found(text, 1_000_000))
      }),
      { numRuns: 50 },
    )
  })

  test('every shape that is accepted is documented as JSON Schema', () => {
    for (const { artifact, shape } of ARTIFACT_FORMATS) {
      const schema = z.toJSONSchema(shape, { io: 'input', unrepresentable: 'any' })
      expect([artifact, schema.title, schema.type]).toEqual([artifact, expect.any(String), 'object'])
    }
  })
})
