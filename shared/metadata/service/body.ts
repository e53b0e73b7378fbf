import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { toError } from '../../errors.ts'
import { ServiceError } from './problems.ts'
import type { HttpRequestLike } from './request.ts'

/** Of a body, unpacked. */
export const BODY_BYTES_MAX = 1024 * 1024
const SAMPLE_MAX = 40

const unpack = promisify(gunzip)

/** JSON of the body, as it came: nothing in it is checked but its size. No body is undefined. */
export async function readBody({ headers, body }: HttpRequestLike): Promise<unknown> {
  checkMediaType(headers.get('content-type'))
  const gzipped = isGzipped(headers.get('content-encoding'))
  const announced = Number(headers.get('content-length') ?? 0)
  if (announced > BODY_BYTES_MAX) throw tooLarge(`${announced} bytes`)
  const bytes = await readBytes(body)
  const plain = gzipped ? await unpacked(bytes) : bytes
  if (plain.byteLength === 0) return undefined
  return parse(decode(plain))
}

function checkMediaType(type: string | null): void {
  if (type === null || /^application\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i.test(type.trim())) return
  const came = type.slice(0, SAMPLE_MAX)
  throw new ServiceError('unsupported-media-type', `content-type: expected application/json, got ${came}`, {
    headers: { Accept: 'application/json' },
  })
}

function isGzipped(encoding: string | null): boolean {
  const name = encoding?.trim().toLowerCase() ?? ''
  if (name === '' || name === 'identity') return false
  if (name === 'gzip' || name === 'x-gzip') return true
  const came = name.slice(0, SAMPLE_MAX)
  throw new ServiceError('unsupported-encoding', `content-encoding: expected gzip or none, got ${came}`, {
    headers: { 'Accept-Encoding': 'gzip' },
  })
}

async function readBytes(body: HttpRequestLike['body']): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of body ?? []) {
    bytes += chunk.byteLength
    if (bytes > BODY_BYTES_MAX) throw tooLarge('more')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** Stops where the limit is passed: a few bytes can hold gigabytes. */
async function unpacked(bytes: Uint8Array): Promise<Uint8Array> {
  try {
    return await unpack(bytes, { maxOutputLength: BODY_BYTES_MAX })
  } catch (thrown) {
    const error: NodeJS.ErrnoException = toError(thrown)
    if (error.code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge('more, unpacked')
    throw new ServiceError('malformed-body', 'body: expected gzip as its content-encoding says, got other bytes')
  }
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new ServiceError('malformed-body', 'body: expected UTF-8, got other bytes')
  }
}

/** However deep: V8 parses without recursion, and whoever looks at the value stops at the depth that it allows. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new ServiceError('malformed-body', 'body: expected JSON, got another text')
  }
}

function tooLarge(came: string): ServiceError {
  return new ServiceError('body-too-large', `body: expected at most ${BODY_BYTES_MAX} bytes, got ${came}`)
}
