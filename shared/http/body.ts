import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { ContractError, TransientError } from '../errors.ts'

/** The body of a refusal is read only for the message in it. */
const REFUSAL_BYTES_MAX = 64 * 1024

const unpack = promisify(gunzip)

/**
 * The body after every coding. fetch has undone what `content-encoding` named; a body that is gzip all the same is
 * known by its magic number, whatever the headers say. Of a refusal at most the first 64 KiB.
 */
export async function readBody(response: Response, bytesMax: number): Promise<Uint8Array> {
  if (!response.ok) return await unpackRefusal(await readAtMost(response, REFUSAL_BYTES_MAX))
  const body = await readAtMost(response, bytesMax + 1)
  if (body.length > bytesMax) throw tooLarge(bytesMax)
  return isGzip(body) ? await unpackGzip(body, bytesMax) : body
}

/** Leaving the loop cancels the rest of the body and closes its connection. */
async function readAtMost(response: Response, bytesMax: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  if (response.body) {
    for await (const chunk of response.body) {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes >= bytesMax) break
    }
  }
  const all = Buffer.concat(chunks)
  return all.subarray(0, bytesMax)
}

async function unpackGzip(body: Uint8Array, bytesMax: number): Promise<Uint8Array> {
  try {
    return await unpack(body, { maxOutputLength: bytesMax })
  } catch (thrown) {
    const code = codeOf(thrown)
    if (code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(bytesMax)
    if (code === 'Z_BUF_ERROR') throw new TransientError(`body: expected a whole gzip stream, got ${body.length} bytes`)
    // It only begins like gzip: the source that asked for it says what it is.
    return body
  }
}

async function unpackRefusal(body: Uint8Array): Promise<Uint8Array> {
  if (!isGzip(body)) return body
  try {
    return await unpack(body, { maxOutputLength: REFUSAL_BYTES_MAX })
  } catch {
    return body
  }
}

function isGzip(body: Uint8Array): boolean {
  return body[0] === 0x1f && body[1] === 0x8b
}

function codeOf(thrown: unknown): unknown {
  return thrown instanceof Error && 'code' in thrown ? thrown.code : undefined
}

function tooLarge(bytesMax: number): ContractError {
  return new ContractError(`body: expected at most ${bytesMax} bytes, got more`)
}
