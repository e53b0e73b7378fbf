import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { expect, test } from 'vitest'
import { CancelledError, TransientError, toError } from '../../shared/errors.ts'
import { createHttpClient } from '../../shared/http/client.ts'
import { type Answering, answer, options, QUICK, stall, startScriptedServer } from './scripted-server.ts'

const client = createHttpClient({ ...QUICK, triesMax: 1 })
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

/** Bytes as they are on the wire, and the end of the connection. */
const wire =
  (...bytes: readonly string[]): Answering =>
  (_outgoing, { socket }) =>
    socket.end(bytes.join('\r\n'))

test('names of headers are lower case, and repeated headers are joined', async () => {
  const { request } = await startScriptedServer(
    wire('HTTP/1.1 200 OK', 'X-Kind: tea', 'Retry-After: 1', 'x-kind:  green ', 'retry-after: 2', 'X-None:', '', ''),
  )
  const { headers } = await client(request, options())
  expect(headers).toEqual({ 'x-kind': 'tea, green', 'retry-after': '1, 2', 'x-none': '' })
})

test('a request asks for gzip and for nothing else, unless its source does', async () => {
  const { request, requests } = await startScriptedServer(answer(200))
  await client(request, options())
  await client({ ...request, headers: { 'Accept-Encoding': 'identity', 'User-Agent': 'me/1 ( a@b.c )' } }, options())
  const asked = requests.map(({ headers: { host: _, connection: __, ...headers } }) => headers)
  expect(asked).toEqual([
    { accept: '*/*', 'accept-encoding': 'gzip', 'user-agent': 'node', 'x-key': 's3cret' },
    { accept: '*/*', 'accept-encoding': 'identity', 'user-agent': 'me/1 ( a@b.c )' },
  ])
})

test('blanks around the value of a header are not sent', async () => {
  const { request, requests } = await startScriptedServer(answer(200))
  await client({ ...request, headers: { 'x-key': ' s3cret\n' } }, options())
  expect(requests[0]?.headers['x-key']).toBe('s3cret')
})

test.each([301, 302, 303, 307, 308])(
  'a redirect by %i is not followed: no key goes to another host',
  async (status) => {
    const elsewhere = await startScriptedServer(answer(200))
    const { request } = await startScriptedServer(answer(status, '', { location: elsewhere.request.url }))
    expect((await client(request, options())).status).toBe(status)
    expect(elsewhere.requests).toEqual([])
  },
)

const CHUNKED = ['HTTP/1.1 200 OK', 'transfer-encoding: chunked', '']
const cutOnce = (cut: (socket: Socket) => void): Answering => {
  return (outgoing, { socket }) => {
    outgoing.writeHead(200, { 'content-length': '10' })
    outgoing.write('12345', () => cut(socket))
  }
}
test.each<[string, Answering, string]>([
  ['shorter than its content-length', cutOnce((socket) => socket.end()), 'ECONNRESET'],
  ['cut by a reset', cutOnce((socket) => socket.resetAndDestroy()), 'ECONNRESET'],
  ['cut in the packet of its headers', wire('HTTP/1.1 200 OK', 'content-length: 10', '', '12345'), 'ECONNRESET'],
  ['cut in the middle of a chunk', wire(...CHUNKED, 'a', '12345'), 'ECONNRESET'],
  ['without its last chunk', wire(...CHUNKED, '5', '12345', ''), 'ECONNRESET'],
  ['with a broken chunk', wire(...CHUNKED, '5', '12345', 'x', ''), 'HPE_INVALID_CHUNK_SIZE'],
  ['of two lengths', wire('HTTP/1.1 200 OK', 'content-length: 5', 'content-length: 6', '', '12345'), 'HPE_\\w+'],
  ['of a change of protocol', wire('HTTP/1.1 101 Hm', 'connection: upgrade', 'upgrade: h2c', '', ''), '.*closed'],
  ['of no http', wire('220 mail.example.org', ''), 'HPE_\\w+'],
  ['that never began', (_outgoing, { socket }) => socket.end(), 'ECONNRESET'],
])('an answer %s is a transient error, never a short body', async (_what, cut, code) => {
  const { request } = await startScriptedServer(cut, answer(200, '1234567890'))
  const error = await client(request, options()).catch(toError)
  expect(error).toBeInstanceOf(TransientError)
  expect(error).toHaveProperty('message', expect.stringMatching(`symbols=TSLA: expected a whole answer, got ${code}$`))
  expect(text((await client(request, options())).body)).toBe('1234567890')
})

test('a body whose length nobody tells ends with its connection', async () => {
  const { request } = await startScriptedServer(wire('HTTP/1.1 200 OK', 'connection: close', '', '12345'))
  expect(text((await client(request, options())).body)).toBe('12345')
})

test.each(['127.0.0.1', 'localhost'])('nobody at %s is a transient error with the code of the system', async (host) => {
  const subject = `http://${host}:1/x`
  const error = await client({ url: `${subject}?key=s3cret`, subject, headers: {} }, options()).catch(toError)
  expect(error).toBeInstanceOf(TransientError)
  expect(error).toHaveProperty('message', `${subject}: expected a whole answer, got ECONNREFUSED`)
})

test('https is never plain: a server without tls gets no request', async () => {
  const { request, requests } = await startScriptedServer(answer(200))
  const error = await client({ ...request, url: request.url.replace('http:', 'https:') }, options()).catch(toError)
  expect(error).toBeInstanceOf(TransientError)
  expect(error).toHaveProperty('message', expect.stringMatching(/got (EPROTO|ERR_SSL_\w+)$/))
  expect(requests).toEqual([])
})

test('one request after another goes over one connection, and each client has its own', async () => {
  const { request, requests } = await startScriptedServer(answer(200, 'one'), answer(404, 'two'), answer(200, 'three'))
  const other = createHttpClient(QUICK)
  for (const send of [client, client, client, other]) {
    await send(request, options())
  }
  const ports = requests.map(({ socket }) => socket.remotePort)
  expect(ports.map((port) => ports.indexOf(port))).toEqual([0, 0, 0, 3])
})

test('a request that its caller ends leaves no connection behind', async () => {
  const caller = new AbortController()
  const closed: Promise<unknown>[] = []
  const { request } = await startScriptedServer((outgoing, incoming) => {
    closed.push(once(incoming.socket, 'close'))
    stall(outgoing, incoming)
    caller.abort()
  })
  await expect(client(request, options({ signal: caller.signal }))).rejects.toThrow(CancelledError)
  expect(await Promise.all(closed)).toHaveLength(1)
})

const CLIENT = new URL('../../dist/shared/http/client.js', import.meta.url).href
const ONE_REQUEST = `
  const [client, url] = process.argv.slice(1)
  const { createHttpClient } = await import(client)
  const http = createHttpClient({ timeoutMs: 60_000, triesMax: 1 })
  const { status } = await http({ url, subject: url, headers: {} }, { signal: new AbortController().signal, bodyBytesMax: 100 })
  setImmediate(() => console.log(status, process.getActiveResourcesInfo().filter((kind) => /tcp|timeout/i.test(kind))))
`
test('a process that has its answer is held by no connection and no timer, and ends', async () => {
  const { request } = await startScriptedServer(answer(200, '{}'))
  const child = spawn(process.execPath, ['--input-type=module', '--eval', ONE_REQUEST, '--', CLIENT, request.url])
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += chunk
    })
  }
  const [code] = await once(child, 'close')
  expect([output, code]).toEqual(['200 []\n', 0])
})
