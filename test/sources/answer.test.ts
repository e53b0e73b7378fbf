import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { parseJsonObject, refusalOf } from '../../shared/sources/answer.ts'

const bytes = (text: string) => new TextEncoder().encode(text)

test.each([
  [408, 'unavailable'],
  [500, 'unavailable'],
  [501, 'unavailable'],
  [599, 'unavailable'],
  [401, 'auth'],
  [403, 'auth'],
  [400, 'refused'],
  [404, 'refused'],
  [422, 'refused'],
  [301, 'broken'],
  [304, 'broken'],
])('status %i is %s', (status, kind) => {
  const body = bytes('{"code":1,"message":"because"}')
  const detail = `expected http 200, got ${status}: because`
  expect(refusalOf({ status, headers: {}, body })).toEqual({ kind, detail })
})

test.each([200, 201, 206])('status %i may hold a page', (status) => {
  expect(refusalOf({ status, headers: {}, body: bytes('') })).toBe(undefined)
})

test.each([
  [{ 'retry-after': '7' }, 7_000],
  [{ 'retry-after': '7', 'x-ratelimit-reset': '9' }, 7_000],
  [{ 'x-ratelimit-reset': '9' }, 9_000],
  [{}, null],
])('a 429 with the headers %j asks for a wait of %s ms', (headers, retryAfterMs) => {
  const refusal = refusalOf({ status: 429, headers: headers as Record<string, string>, body: bytes('') })
  expect(refusal).toEqual({ kind: 'throttled', retryAfterMs, detail: 'expected http 200, got 429' })
})

test.each([
  ['<html>apiKey=s3cret</html>', ''],
  ['{"message":"apiKey=s3cret is wrong"}', ': apiKey=[redacted] is wrong'],
  ['{"error":"no such api_key: s3cret"}', ': no such api_key: [redacted]'],
  ['{"error_message":"one\\ntwo"}', ': one two'],
  ['{"message":17}', ''],
  [`{"message":"${'x'.repeat(500)}"}`, `: ${'x'.repeat(200)}…`],
])('of the refusal %s the message shows %j', (body, shown) => {
  expect(refusalOf({ status: 404, headers: {}, body: bytes(body) })?.detail).toBe(`expected http 200, got 404${shown}`)
})

const html = `<!DOCTYPE html><html>${'x'.repeat(5_099)}`
const badUtf8 = Buffer.concat([bytes('{"a":"'), Buffer.from([0xff]), bytes('"}')])
const cutInCharacter = bytes('{"a":"é').subarray(0, 7)

test.each<[string, Uint8Array, 'broken' | 'unavailable', string]>([
  ['html', bytes(html), 'broken', 'html (text/html, 5120 bytes)'],
  ['xml', bytes('<?xml version="1.0"?><error/>'), 'broken', 'markup (text/html, 29 bytes)'],
  ['nothing', bytes(''), 'unavailable', 'an empty body (text/html, 0 bytes)'],
  ['white space', bytes(' \r\n'), 'unavailable', 'an empty body (text/html, 3 bytes)'],
  [
    'an object that was cut',
    bytes('{"bars":{"TSLA":[{"t":"20'),
    'unavailable',
    'json that was cut (text/html, 25 bytes)',
  ],
  ['an object cut between values', bytes('{"bars":{},'), 'unavailable', 'json that was cut (text/html, 11 bytes)'],
  ['an object cut after a backslash', bytes('{"a":"\\'), 'unavailable', 'json that was cut (text/html, 7 bytes)'],
  [
    'an object cut after a quote in a text',
    bytes('{"a":"\\"}'),
    'unavailable',
    'json that was cut (text/html, 9 bytes)',
  ],
  ['an object cut inside a character', cutInCharacter, 'unavailable', 'json that was cut (text/html, 7 bytes)'],
  ['an array that was cut', bytes('[1,2'), 'unavailable', 'json that was cut (text/html, 4 bytes)'],
  ['an array', bytes('[1]'), 'broken', 'an array (text/html, 3 bytes)'],
  ['null', bytes('null'), 'broken', 'null (text/html, 4 bytes)'],
  ['a string', bytes('"{}"'), 'broken', 'a string (text/html, 4 bytes)'],
  ['a number', bytes('12345678901234567890'), 'broken', 'a number (text/html, 20 bytes)'],
  ['malformed json', bytes("{'a':1}"), 'broken', "malformed json (text/html, 7 bytes): {'a':1}"],
  ['more than json', bytes('{"a":1}}'), 'broken', 'malformed json (text/html, 8 bytes): {"a":1}}'],
  ['text', bytes('You have run over your quota'), 'broken', 'text (text/html, 28 bytes): You have run over your quota'],
  ['damaged utf-8', badUtf8, 'broken', 'bytes that are no utf-8 (text/html, 9 bytes)'],
  ['gzip', gzipSync('{}'), 'broken', `bytes that are no utf-8 (text/html, ${gzipSync('{}').length} bytes)`],
])('%s is no page, and the detail says what it is', (_what, body, kind, came) => {
  const refusal = { kind, detail: `expected a json object, got ${came}` }
  expect(parseJsonObject(body, 'text/html')).toEqual({ ok: false, refusal })
})

test('of stored bytes no content type is known, and none is named', () => {
  const refusal = { kind: 'broken', detail: 'expected a json object, got html (5120 bytes)' }
  expect(parseJsonObject(bytes(html))).toEqual({ ok: false, refusal })
})

test('a byte order mark and white space around an object are no part of it', () => {
  expect(parseJsonObject(bytes('\uFEFF {"a":1}\n'))).toEqual({ ok: true, object: { a: 1 } })
})
