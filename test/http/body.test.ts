import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { ContractError, TransientError, toError } from '../../shared/errors.ts'
import { createHttpClient } from '../../shared/http/client.ts'
import { type Answering, answer, options, QUICK, startScriptedServer } from './scripted-server.ts'

const client = createHttpClient({ ...QUICK, triesMax: 1 })
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

const plain = '{"bars":{}}'
const gzipped = gzipSync(plain)
const called = (coding: string) => ({ 'content-encoding': coding })

test.each([
  ['in gzip, and says so', answer(200, gzipped, called('gzip'))],
  ['in gzip, and does not say so', answer(200, gzipped)],
  ['in gzip, and says brotli', answer(200, gzipped, called('br'))],
  ['in gzip twice, and says it once', answer(200, gzipSync(gzipped), called('gzip'))],
  ['in gzip twice, and does not say so', answer(200, gzipSync(gzipped))],
  ['in brotli, and says so', answer(200, brotliCompressSync(plain), called('BR'))],
  ['in brotli over gzip, and says so', answer(200, brotliCompressSync(gzipped), called('gzip, br'))],
  ['in deflate as the RFC means it', answer(200, deflateSync(plain), called('deflate'))],
  ['in deflate without the frame of zlib', answer(200, deflateRawSync(plain), called('deflate'))],
])('a body %s is unpacked', async (_what, answering) => {
  const { request, requests } = await startScriptedServer(answering)
  expect(text((await client(request, options())).body)).toBe(plain)
  expect(requests.length).toBe(1)
})

const records = (bytes: number) => JSON.stringify({ bars: 'open high low close '.repeat(bytes / 20) })
test.each(
  ['gzip', 'x-gzip', 'deflate', 'br', 'zstd', 'none of these'].flatMap((coding) =>
    [1_000, 100_000, 300_000].map((bytes) => [bytes, coding] as const),
  ),
)('a plain body of %i bytes that says %s is given as it came, of one request', async (bytes, coding) => {
  const body = records(bytes)
  const { request, requests } = await startScriptedServer(answer(200, body, called(coding)))
  expect(text((await client(request, options())).body)).toBe(body)
  expect(requests.length).toBe(1)
})

test('an indented json body that says deflate, of which a decoder makes one wrong byte, is given as it came', async () => {
  const body = JSON.stringify({ bars: {} }, null, 2)
  const { request } = await startScriptedServer(answer(200, body, called('deflate')))
  expect(text((await client(request, options())).body)).toBe(body)
})

test('a body without a byte that says gzip is one without a byte', async () => {
  const { request } = await startScriptedServer(answer(200, '', called('gzip')))
  expect((await client(request, options())).body.length).toBe(0)
})

/** Another byte within the packed data. */
function damaged(packed: Buffer): Buffer {
  const copy = Buffer.from(packed)
  copy[15] = 255 - (copy[15] ?? 0)
  return copy
}

test.each([
  ['that was cut', answer(200, gzipped.subarray(0, 20)), '20 bytes (Z_BUF_ERROR)'],
  ['that was cut, and says so', answer(200, gzipped.subarray(0, 20), called('gzip')), '20 bytes (Z_BUF_ERROR)'],
  ['that was cut before it was packed again', answer(200, gzipSync(gzipped.subarray(0, 9))), '9 bytes (Z_BUF_ERROR)'],
  [
    'that was damaged, and says so',
    answer(200, damaged(gzipped), called('gzip')),
    `${gzipped.length} bytes (Z_DATA_ERROR)`,
  ],
])('a gzip body %s is a transient error', async (_what, answering, came) => {
  const { request } = await startScriptedServer(answering)
  const error = await client(request, options()).catch(toError)
  expect(error).toBeInstanceOf(TransientError)
  expect(error).toHaveProperty('message', `${request.subject}: body: expected a whole gzip stream, got ${came}`)
})

test('bytes that only begin like gzip are given as they came', async () => {
  const bytes = Buffer.from([0x1f, 0x8b, 0xff, 0xff, 1, 2, 3])
  const { request } = await startScriptedServer(answer(200, bytes))
  expect(Buffer.from((await client(request, options())).body)).toEqual(bytes)
})

const million = Buffer.alloc(1_000_000, 'a')
test.each([
  ['as it is', answer(200, million)],
  ['in gzip', answer(200, gzipSync(million), called('gzip'))],
  ['in gzip twice', answer(200, gzipSync(gzipSync(million)))],
  ['in brotli', answer(200, brotliCompressSync(million), called('br'))],
  ['in deflate', answer(200, deflateSync(million), called('deflate'))],
])('a body over the limit, %s, is a contract error and is not tried again', async (_how, answering) => {
  const { request, requests } = await startScriptedServer(answering)
  const tryingThrice = createHttpClient(QUICK)
  const error = await tryingThrice(request, options({ bodyBytesMax: 999_999 })).catch(toError)
  expect(error).toBeInstanceOf(ContractError)
  expect(error).toHaveProperty('message', `${request.subject}: body: expected at most 999999 bytes, got more`)
  expect(requests.length).toBe(1)
  expect((await client(request, options({ bodyBytesMax: 1_000_000 }))).body.length).toBe(1_000_000)
})

// A gzip stream may have many members: 1 GiB in 1 MB.
const bomb = Buffer.concat(Array(1_024).fill(gzipSync(Buffer.alloc(1_048_576))))
test.each([
  ['in gzip', bomb],
  ['in gzip twice', gzipSync(bomb)],
])('a bomb %s is left at the limit, and nowhere unpacked', async (_how, body) => {
  const { request } = await startScriptedServer(answer(200, body))
  const before = process.resourceUsage().maxRSS
  await expect(client(request, options({ bodyBytesMax: 2_000_000 }))).rejects.toThrow(
    /: body: expected at most 2000000 bytes, got more$/,
  )
  expect(process.resourceUsage().maxRSS - before).toBeLessThan(256 * 1_024)
})

const endless: Answering = (outgoing) => {
  const more = () => outgoing.destroyed || outgoing.write(million, more)
  outgoing.writeHead(200)
  more()
}
test('a body without end is left at the limit', async () => {
  const { request } = await startScriptedServer(endless)
  await expect(client(request, options({ bodyBytesMax: 10 }))).rejects.toThrow(ContractError)
})

test.each([
  ['as it is', answer(404, million)],
  ['without an end', endlessRefusal],
])('of a refusal, %s, only the first 64 KiB are read', async (_how, answering) => {
  const { request } = await startScriptedServer(answering)
  expect((await client(request, options({ bodyBytesMax: 10 }))).body.length).toBe(65_536)
})

function endlessRefusal(...[outgoing, incoming]: Parameters<Answering>): void {
  outgoing.statusCode = 404
  const more = () => incoming.destroyed || outgoing.write(million, more)
  more()
}

test.each([
  ['in gzip', gzipped, plain],
  ['in gzip that was cut', gzipped.subarray(0, 20), gzipped.subarray(0, 20)],
  ['in gzip over 64 KiB', gzipSync(million), gzipSync(million)],
])('the message of a refusal is unpacked if it can be: %s', async (_how, sent, got) => {
  const { request } = await startScriptedServer(answer(403, sent, called('gzip')))
  expect(Buffer.from((await client(request, options())).body)).toEqual(Buffer.from(got))
})
