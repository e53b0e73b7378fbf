import { BlobServiceClient } from '@azure/storage-blob'
import { beforeAll, describe, expect, test } from 'vitest'
import { type BlobContainer, openContainer } from '../../shared/azure/blobs.ts'
import { RawCollisionError, TransientError } from '../../shared/errors.ts'
import { type IoHook, withoutHook } from '../../shared/io-hook.ts'
import { type RawPage, readRawPage, storeRawPage } from '../../shared/provenance/raw-page.ts'
import { useTestEnvironment } from '../support/environment.ts'

const PAGE: RawPage = {
  sourceIngestId: '01920000-0000-7000-8000-000000000000',
  epoch: 1,
  pageNo: 0,
  path: 'vendor=alpaca/dataset=bars/symbol=%C3%85%2F..%2Fx/year=2020/month=01/page.json.gz',
  body: new TextEncoder().encode('{"bars":{"Å":[]}}'),
  streamKey: 'alpaca/bars/Å/../x/1d',
  of: { lo: 0n, hi: 86_400_000_000n },
  observedAt: 1n,
  requestFingerprint: 'f'.repeat(64),
}
const OTHER_BODY = new TextEncoder().encode('{"bars":{}}')

/** Storage whose writer may create and not overwrite answers a repeated create with 403; the emulator says 409. */
const forbidding: IoHook = async (operation, run) => {
  const result = await run()
  const refused = operation.action === 'put' && (result as { written: boolean }).written === false
  return refused ? ({ written: false, status: 403 } as typeof result) : result
}

describe('I4 raw is written once', () => {
  const environment = useTestEnvironment()
  const open = (hook: IoHook): BlobContainer => {
    const connectionString = environment.storageConnectionString
    return openContainer({ account: { kind: 'connection-string', connectionString }, container: 'raw', hook })
  }
  let number = 0
  const newPage = (): RawPage => ({ ...PAGE, path: PAGE.path.replace('page', `page-${number++}`) })
  beforeAll(() => open(withoutHook).ensure())

  const HOOKS = [
    ['409', withoutHook],
    ['403', forbidding],
  ] as const
  for (const [status, hook] of HOOKS) {
    test(`the same bytes again are a success, whose answer ${status} says that they are there`, async () => {
      const page = newPage()
      const first = await storeRawPage(open(hook), page)
      expect(await storeRawPage(open(hook), page)).toEqual(first)
    })

    test(`other bytes are a collision after ${status}, and what was written stays`, async () => {
      const page = newPage()
      const { sha256 } = await storeRawPage(open(hook), page)
      await expect(storeRawPage(open(hook), { ...page, body: OTHER_BODY })).rejects.toThrow(RawCollisionError)
      expect(await readRawPage(open(hook), { path: page.path, sha256 })).toEqual(Buffer.from(page.body))
    })
  }

  test('a refusal where there is no blob is told as one', async () => {
    const forbidden: IoHook = async ({ action }, run) =>
      action === 'put' ? ({ written: false, status: 403 } as Awaited<ReturnType<typeof run>>) : run()
    const page = newPage()
    const refused = storeRawPage(open(forbidden), page)
    await expect(refused).rejects.toThrow(TransientError)
    await expect(refused).rejects.toThrow(
      `raw page ${page.path}: expected to create it, storage refused (403) and there is none`,
    )
  })

  test('the blob is a plain gzip file, and its metadata tells all that Postgres knows of the page', async () => {
    const page = newPage()
    const { sha256, storedBytes, bodyBytes } = await storeRawPage(open(withoutHook), page)
    const client = BlobServiceClient.fromConnectionString(environment.storageConnectionString)
    const found = await client.getContainerClient('raw').getBlobClient(page.path).getProperties()
    expect([found.contentType, found.contentEncoding ?? '', found.contentLength]).toEqual([
      'application/gzip',
      '',
      storedBytes,
    ])
    expect(bodyBytes).toBe(page.body.byteLength)
    expect(found.metadata).toEqual({
      sha256,
      sourceingestid: page.sourceIngestId,
      stream: 'alpaca%2Fbars%2F%C3%85%2F..%2Fx%2F1d',
      epoch: '1',
      pageno: '0',
      lo: '1970-01-01T00:00:00Z',
      hi: '1970-01-02T00:00:00Z',
      observedat: '1970-01-01T00:00:00.000001Z',
      requestfingerprint: page.requestFingerprint,
    })
  })
})
