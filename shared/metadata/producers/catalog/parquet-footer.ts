import { type FileMetaData, parquetMetadata } from 'hyparquet'
import type { BlobContainer } from '../../../azure/blobs.ts'
import { readThriftStruct } from '../../../curated/thrift-struct.ts'
import { PermanentError, toError } from '../../../errors.ts'

/** A footer of a million rows of bars has 22 KB: one request reads it. */
const TAIL_BYTES = 64 * 1024
const FOOTER_BYTES_MAX = 16 * 1024 * 1024
const TRAILER_BYTES = 8
const MAGIC = 0x3152_4150 // PAR1

type Files = Pick<BlobContainer, 'range' | 'head'>

/**
 * What a Parquet file says about itself, without its rows. `bytes` is the size it had when it was last heard of: where
 * another file stands there now, its size is asked for.
 */
export async function readParquetFooter(files: Files, path: string, bytes: number): Promise<FileMetaData> {
  try {
    return await footerAt(files, path, bytes)
  } catch (thrown) {
    const facts = await files.head(path)
    if (facts === null) throw new PermanentError(`file ${path}: expected it in the lake, got none`)
    if (facts.bytes === bytes) throw thrown
    return footerAt(files, path, facts.bytes)
  }
}

async function footerAt(files: Files, path: string, bytes: number): Promise<FileMetaData> {
  const tail = await tailOf(files, path, bytes, TAIL_BYTES)
  const footerBytes = footerLength(tail, path, bytes)
  const whole = footerBytes + TRAILER_BYTES <= tail.length
  const end = whole ? tail : await tailOf(files, path, bytes, footerBytes + TRAILER_BYTES)
  try {
    const footer = end.subarray(end.length - footerBytes - TRAILER_BYTES)
    // hyparquet allocates what a length says before it looks: a damaged footer could take the process down.
    readThriftStruct(footer.subarray(0, footerBytes), 0)
    return parquetMetadata(footer, { geoparquet: false })
  } catch (thrown) {
    const cause = toError(thrown)
    throw new PermanentError(`file ${path}: expected a parquet footer, got noise (${cause.message})`, { cause })
  }
}

async function tailOf(files: Files, path: string, fileBytes: number, tailBytes: number): Promise<Uint8Array> {
  const offset = Math.max(fileBytes - tailBytes, 0)
  const tail = await files.range(path, offset, fileBytes - offset)
  if (tail === null) throw new PermanentError(`file ${path}: expected it in the lake, got none`)
  return tail
}

function footerLength(tail: Uint8Array, path: string, fileBytes: number): number {
  const view = new DataView(tail.buffer, tail.byteOffset, tail.length)
  if (tail.length < TRAILER_BYTES || view.getUint32(tail.length - 4, true) !== MAGIC) {
    throw new PermanentError(`file ${path}: expected PAR1 at the end of ${fileBytes} bytes, got something else`)
  }
  const footerBytes = view.getUint32(tail.length - TRAILER_BYTES, true)
  const bytesMax = Math.min(fileBytes - TRAILER_BYTES, FOOTER_BYTES_MAX)
  if (footerBytes <= bytesMax) return footerBytes
  throw new PermanentError(`file ${path}: expected a footer of at most ${bytesMax} bytes, got ${footerBytes}`)
}
