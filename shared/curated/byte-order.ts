/**
 * Parquet, the content hash and the words of an int64 are little-endian, and typed arrays are read as bytes where that
 * saves a copy. Every platform of Node.js that Azure offers is; another one must fail at once, not write wrong files.
 */
if (new Uint8Array(new Uint32Array([1]).buffer)[0] !== 1) {
  throw new Error('curated: expected a little-endian machine, got a big-endian one')
}

/** The bytes of a typed array, not copied. */
export function bytesOf(data: BigInt64Array | Float64Array | Int32Array | Uint32Array): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
}
