import { expect, test } from 'vitest'
import { CancelledError, ConfigError, TransientError, toError } from '../../shared/errors.ts'
import { createHttpClient } from '../../shared/http/client.ts'
import type { IoOperation } from '../../shared/io-hook.ts'
import { type Answering, answer, options, QUICK, reset, stall, startScriptedServer } from './scripted-server.ts'

const client = createHttpClient(QUICK)
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

async function errorOf(promise: Promise<unknown>): Promise<Error> {
  return await promise.then(
    () => new Error('expected a rejection'),
    (thrown) => toError(thrown),
  )
}

test('an answer is given whatever its status, with lower-case header names', async () => {
  const { request } = await startScriptedServer(answer(418, 'teapot', { 'X-Kind': 'tea' }))
  const got = await client(request, options())
  expect([got.status, text(got.body), got.headers['x-kind']]).toEqual([418, 'teapot', 'tea'])
})

test.each([408, 500, 502, 503, 504])('status %i is tried again, and the good answer is the result', async (status) => {
  const { request, requests } = await startScriptedServer(answer(status), answer(status), answer(200, '{}'))
  expect((await client(request, options())).status).toBe(200)
  expect(requests.length).toBe(3)
})

test.each([301, 400, 401, 403, 404, 429, 501])('status %i is the result at once', async (status) => {
  const { request, requests } = await startScriptedServer(answer(status, '', { location: '/elsewhere' }))
  expect((await client(request, options())).status).toBe(status)
  expect(requests.length).toBe(1)
})

test('after three tries the last answer is the result', async () => {
  const { request, requests } = await startScriptedServer(answer(500, 'a'), answer(500, 'b'), answer(503, 'c'))
  const got = await client(request, options())
  expect([got.status, text(got.body), requests.length]).toEqual([503, 'c', 3])
})

test('retry-after beyond five seconds is left to the caller', async () => {
  const { request, requests } = await startScriptedServer(answer(503, '', { 'retry-after': '6' }), answer(200))
  expect((await client(request, options())).status).toBe(503)
  expect(requests.length).toBe(1)
})

test('retry-after is the least that is waited', async () => {
  const caller = new AbortController()
  const busy: Answering = (outgoing) => {
    outgoing.writeHead(503, { 'retry-after': '2' }).end()
    setTimeout(() => caller.abort(), 300)
  }
  const { request, requests } = await startScriptedServer(busy, answer(200))
  // Full jitter alone would have waited a millisecond at most and got the good answer before the caller gave up.
  await expect(client(request, options({ signal: caller.signal }))).rejects.toThrow(CancelledError)
  expect(requests.length).toBe(1)
})

test('a connection that is reset is tried again', async () => {
  const { request, requests } = await startScriptedServer(reset, reset, answer(200, 'good'))
  expect(text((await client(request, options())).body)).toBe('good')
  expect(requests.length).toBe(3)
})

test('a connection that is reset every time is a transient error that names host, cause and tries', async () => {
  const { request, host } = await startScriptedServer(reset)
  const error = await errorOf(client(request, options()))
  expect(error).toBeInstanceOf(TransientError)
  expect(error.message).toBe(`http://${host}/bars?symbols=TSLA: expected a whole answer, got ECONNRESET (try 3 of 3)`)
})

const half: Answering = (outgoing) => {
  outgoing.writeHead(200, { 'content-length': '10' })
  outgoing.write('12345', () => outgoing.destroy())
}
const halfChunked: Answering = (outgoing) => {
  outgoing.writeHead(200)
  outgoing.write('12345', () => outgoing.destroy())
}
test.each([
  ['shorter than its content-length', half],
  ['without its last chunk', halfChunked],
])('a body %s is a transient error, never a short body', async (_what, cut) => {
  const { request, requests } = await startScriptedServer(cut)
  await expect(client(request, options())).rejects.toThrow(/expected a whole answer, got ECONNRESET/)
  expect(requests.length).toBe(3)
  const mended = await startScriptedServer(cut, answer(200, '1234567890'))
  expect(text((await client(mended.request, options())).body)).toBe('1234567890')
})

const headersOnly: Answering = (outgoing) => {
  outgoing.writeHead(200, { 'content-length': '10' })
  outgoing.write('1')
}
test.each([
  ['headers', stall],
  ['body', headersOnly],
])('the timeout covers the %s', async (_what, stalled) => {
  const { request, requests } = await startScriptedServer(stalled)
  const impatient = createHttpClient({ ...QUICK, timeoutMs: 100, triesMax: 2 })
  const error = await errorOf(impatient(request, options()))
  expect(error).toBeInstanceOf(TransientError)
  expect(error.message).toBe(`${request.subject}: expected a whole answer within 100 ms, got none (try 2 of 2)`)
  expect(requests.length).toBe(2)
})

test.each([
  ['before the headers', stall, 'cancelled'],
  ['within the body', headersOnly, 'cancelled'],
  ['between two tries', answer(503, '', { 'retry-after': '4' }), 'cancelled between two tries'],
])('the caller ends a request %s', async (_where, answering, why) => {
  const caller = new AbortController()
  const { request, requests } = await startScriptedServer((outgoing, incoming) => {
    answering(outgoing, incoming)
    setTimeout(() => caller.abort(), 50)
  })
  const patient = createHttpClient({ ...QUICK, timeoutMs: 60_000 })
  const error = await errorOf(patient(request, options({ signal: caller.signal })))
  expect(error).toBeInstanceOf(CancelledError)
  expect(error.message).toBe(`${request.subject}: ${why}`)
  expect(requests.length).toBe(1)
})

test('a caller that has stopped already sends nothing', async () => {
  const { request, requests } = await startScriptedServer(answer(200))
  await expect(client(request, options({ signal: AbortSignal.abort() }))).rejects.toThrow(CancelledError)
  expect(requests.length).toBe(0)
})

test('no timer outlives its request', async () => {
  const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length
  const { request } = await startScriptedServer(answer(200))
  const patient = createHttpClient({ ...QUICK, timeoutMs: 60_000 })
  const before = timers()
  for (let count = 0; count < 20; count++) await patient(request, options())
  expect(timers()).toBeLessThan(before + 10)
})

test('every real request passes the hook once, named without its secrets', async () => {
  const seen: IoOperation[] = []
  const hooked = createHttpClient({
    ...QUICK,
    hook(operation, run) {
      seen.push(operation)
      return run()
    },
  })
  const { request, requests } = await startScriptedServer(answer(500), reset, answer(200))
  await hooked(request, options())
  expect(requests.length).toBe(3)
  expect(seen).toEqual(Array(3).fill({ client: 'http', action: 'get', subject: request.subject }))
})

test('an error thrown by the hook is passed on and not tried again', async () => {
  const { request, requests } = await startScriptedServer(answer(200))
  const faulty = createHttpClient({ ...QUICK, hook: () => Promise.reject(new RangeError('injected')) })
  await expect(faulty(request, options())).rejects.toThrow(RangeError)
  expect(requests.length).toBe(0)
})

const subject = 'https://example.invalid/x'
test.each([
  ['no url', { url: 's3cret', subject, headers: {} }, `${subject}: expected an absolute http or https url`],
  [
    'another scheme',
    { url: 'ftp://h/?k=s3cret', subject, headers: {} },
    `${subject}: expected an absolute http or https url`,
  ],
  [
    'a password in the url',
    { url: 'https://me:s3cret@h/', subject: 'https://me:s3cret@h/', headers: {} },
    'url of a provider: expected no user and password in it, got some',
  ],
  [
    'a header of two lines',
    { url: subject, subject, headers: { 'x-key': 's3cret\nx' } },
    `${subject}: expected header x-key to be one line of latin text, got something else`,
  ],
])('a request with %s is a config error', async (_what, request, message) => {
  const error = await errorOf(client(request, options()))
  expect(error).toBeInstanceOf(ConfigError)
  expect(error.message).toBe(message)
})

test.each<[string, Answering]>([
  ['reset', reset],
  ['half', half],
  ['stall', stall],
  ['damaged gzip', answer(200, Buffer.from([0x1f, 0x8b, 0xff]), { 'content-encoding': 'gzip' })],
  ['too large', answer(200, 'a'.repeat(101))],
  ['no http', (_outgoing, incoming) => incoming.socket.end('s3cret? no http at all\r\n\r\n')],
])('no error tells a secret, nor carries one: %s', async (_what, answering) => {
  const { request } = await startScriptedServer(answering)
  const quick = createHttpClient({ ...QUICK, timeoutMs: 200, triesMax: 1 })
  const error = await errorOf(quick(request, options({ bodyBytesMax: 100 })))
  expect([error.message, error.stack].join('\n')).not.toContain('s3cret')
  expect(error.cause).toBe(undefined)
  expect(error.message).toContain('symbols=TSLA')
})
