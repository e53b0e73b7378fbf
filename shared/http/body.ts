import {
  type BrotliDecompress,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createInflateRaw,
  type Gunzip,
  type Inflate,
  type InflateRaw,
} from 'node:zlib'
import { ContractError, TransientError, toError } from '../errors.ts'

/** The body of a refusal is read only for the message in it. */
const REFUSAL_BYTES_MAX = 64 * 1024

/** Some servers compress what is compressed already. */
const GZIP_LAYERS_MAX = 2

/** Of a 9 MB page unpacked in pieces of 16, 64 and 256 KiB: 95, 55 and 50 ms. */
const CHUNK_BYTES = 64 * 1024

export type IncomingBody = {
  readonly stream: AsyncIterable<Uint8Array>
  readonly status: number
  /** The `content-encoding` header; servers lie in it. */
  readonly coding: string | undefined
}

/**
 * The body after every coding. Gzip is known by its magic number, whatever the headers say; brotli and deflate have
 * none, so there the header is tried. What does not decode is given as it came: the source that asked for it says what
 * it is. Of a refusal at most the first 64 KiB.
 */
export async function readBody({ stream, status, coding }: IncomingBody, bytesMax: number): Promise<Uint8Array> {
  if (status < 200 || status > 299) {
    const start = await readAtMost(stream, REFUSAL_BYTES_MAX)
    return await decode(start, coding, REFUSAL_BYTES_MAX).catch(() => start)
  }
  const body = await readAtMost(stream, bytesMax + 1)
  return await decode(withinLimit(body, bytesMax), coding, bytesMax)
}

/** Leaving the loop destroys the stream: a connection is closed, a decoder ends. */
async function readAtMost(stream: AsyncIterable<Uint8Array>, bytesMax: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of stream) {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes >= bytesMax) break
  }
  return Buffer.concat(chunks).subarray(0, bytesMax)
}

async function decode(body: Uint8Array, coding: string | undefined, bytesMax: number): Promise<Uint8Array> {
  // The last coding named is the outermost.
  const named = coding?.split(',').at(-1)?.trim().toLowerCase() ?? ''
  if (isGzip(body)) return await unpackGzip(body, named.endsWith('gzip'), bytesMax)
  return await unpackGzip(await tryNamed(body, named, bytesMax), false, bytesMax)
}

/** Undoes at most two layers. `named`: the header says gzip too, so a first layer that does not decode is damaged. */
async function unpackGzip(body: Uint8Array, named: boolean, bytesMax: number): Promise<Uint8Array> {
  let inner = body
  for (let layer = 0; layer < GZIP_LAYERS_MAX && isGzip(inner); layer++) {
    const { bytes, failure } = await unpack(createGunzip({ chunkSize: CHUNK_BYTES }), inner, bytesMax)
    if (failure === 'Z_BUF_ERROR' || (failure !== undefined && named && layer === 0)) {
      throw new TransientError(`body: expected a whole gzip stream, got ${inner.length} bytes (${failure})`)
    }
    // It only begins like gzip.
    if (failure !== undefined) return inner
    inner = bytes
  }
  return inner
}

/**
 * What a decoder has not read to the end it has not understood: json that is indented by blanks and called deflate
 * decodes without an error, to one wrong byte out of its first three. Of 400,000 random json texts none was read to the end, as
 * deflate or as brotli. Neither coding tells a body that was cut from one that was never in it.
 */
async function tryNamed(body: Uint8Array, coding: string, bytesMax: number): Promise<Uint8Array> {
  const decoder = decoderOf(coding, body)
  if (decoder === undefined) return body
  const { bytes, failure } = await unpack(decoder, body, bytesMax)
  return failure === undefined && decoder.bytesWritten === body.length ? bytes : body
}

type Decoder = BrotliDecompress | Gunzip | Inflate | InflateRaw

function decoderOf(coding: string, body: Uint8Array): Decoder | undefined {
  const options = { chunkSize: CHUNK_BYTES }
  if (coding === 'br') return createBrotliDecompress(options)
  if (coding !== 'deflate') return undefined
  // RFC 9110 means zlib's format, whose first byte ends in 8; some servers send deflate without it.
  return ((body[0] ?? 0) & 0x0f) === 8 ? createInflate(options) : createInflateRaw(options)
}

type Unpacked = { readonly bytes: Uint8Array; readonly failure: string | undefined }

/** Never holds more than the limit and a chunk, however much a small body would unpack to. */
async function unpack(decoder: Decoder, body: Uint8Array, bytesMax: number): Promise<Unpacked> {
  decoder.end(body)
  let bytes: Uint8Array
  try {
    bytes = await readAtMost(decoder, bytesMax + 1)
  } catch (thrown) {
    return { bytes: body, failure: codeOf(toError(thrown)) }
  }
  return { bytes: withinLimit(bytes, bytesMax), failure: undefined }
}

function withinLimit(bytes: Uint8Array, bytesMax: number): Uint8Array {
  if (bytes.length <= bytesMax) return bytes
  throw new ContractError(`body: expected at most ${bytesMax} bytes, got more`)
}

function isGzip(body: Uint8Array): boolean {
  return body[0] === 0x1f && body[1] === 0x8b
}

/** The code that the system, the parser or zlib gave an error; without one its name. */
export function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name
}
