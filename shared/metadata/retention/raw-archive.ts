import type { BlobContainer, BlobFacts } from '../../azure/blobs.ts'

/**
 * Raw pages where they are: retention moves them to the archive under the same path, and whoever reads, rebuilds,
 * explains or checks finds them. A page is in the archive before it leaves raw, so a reader in between finds it too.
 * Written is to raw alone.
 */
export function rawWithArchive(raw: BlobContainer, archive: BlobContainer): BlobContainer {
  return {
    ...raw,
    get: async (path) => (await raw.get(path)) ?? archive.get(path),
    head: async (path) => (await raw.head(path)) ?? archive.head(path),
    range: async (path, offset, bytesMax) =>
      (await raw.range(path, offset, bytesMax)) ?? archive.range(path, offset, bytesMax),
    list: (prefix) => mergeByPath(raw.list(prefix), archive.list(prefix)),
    async ensure() {
      await raw.ensure()
      await archive.ensure()
    },
  }
}

/** Both in path order; what is in both comes once, as it is in the first. */
async function* mergeByPath(
  first: AsyncIterable<BlobFacts>,
  second: AsyncIterable<BlobFacts>,
): AsyncGenerator<BlobFacts> {
  const [a, b] = [first[Symbol.asyncIterator](), second[Symbol.asyncIterator]()]
  let [left, right] = [await a.next(), await b.next()]
  while (!left.done || !right.done) {
    if (!left.done && (right.done || left.value.path <= right.value.path)) {
      if (!right.done && left.value.path === right.value.path) right = await b.next()
      yield left.value
      left = await a.next()
    } else if (!right.done) {
      yield right.value
      right = await b.next()
    }
  }
}
