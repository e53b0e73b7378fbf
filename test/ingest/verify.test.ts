import { BlobServiceClient } from '@azure/storage-blob'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type PartitionSelection, type Verdict, verifyPartitions } from '../../shared/ingest/repair/verify.ts'
import { verifyHashes } from '../../shared/ingest/repair/verify-hashes.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { openWorkbench, type Workbench } from '../support/workbench.ts'

const FILE = 'dataset=bars/timeframe=1d/symbol=SPX/year=2002/part-alpaca.parquet'

describe('I3 same bytes: verify rebuilds every partition from raw', () => {
  const environment = useTestEnvironment()
  let bench: Workbench
  /** Of the file as it was published. */
  let metadata: Record<string, string> = {}
  beforeAll(async () => {
    bench = await openWorkbench({
      databaseUrl: environment.databaseUrl,
      storageConnectionString: environment.storageConnectionString,
      verify: false,
    })
    await bench.settle()
    metadata = (await blob().getProperties()).metadata ?? {}
  })
  afterAll(() => bench.close())

  const verdicts = async (selection?: PartitionSelection, verify = verifyPartitions) => {
    const all: Verdict[] = []
    for await (const verdict of verify(bench.platform, new AbortController().signal, selection)) all.push(verdict)
    return all
  }
  const container = (name: string) =>
    BlobServiceClient.fromConnectionString(environment.storageConnectionString).getContainerClient(name)
  const blob = () => container('curated').getBlockBlobClient(FILE)

  test('and says that the bytes are the same', async () => {
    expect(await verdicts()).toMatchObject([{ kind: 'same' }, { path: FILE, kind: 'same' }])
  })

  test('says pending while an ingest that is listed for the file is not published, whatever the file holds', async () => {
    const body = await blob().downloadToBuffer()
    await blob().upload('x', 1)
    await bench.query(`update provenance.source_ingest set state = 'failed'`)
    expect((await verdicts())[1]).toEqual({ path: FILE, kind: 'pending' })
    await bench.query(`update provenance.source_ingest set state = 'published'`)
    await blob().upload(body, body.byteLength, { metadata })
  })

  test('names expected and found where they differ, and where the file is gone', async () => {
    const [, whole] = await verdicts()
    const expected = whole?.kind === 'same' ? whole.sha256 : ''
    const body = await blob().downloadToBuffer()
    await blob().upload('x', 1)
    const found = '2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881'
    expect((await verdicts())[1]).toEqual({ path: FILE, kind: 'different', expected, found })
    await blob().delete()
    expect((await verdicts())[1]).toEqual({ path: FILE, kind: 'different', expected, found: null })
    await blob().upload(body, body.byteLength, { metadata })
  })

  test('looks at the streams and at as many files as it is asked for', async () => {
    expect(await verdicts({ sample: 1 })).toMatchObject([{ kind: 'same' }])
    expect(await verdicts({ sample: 7 })).toHaveLength(2)
    expect(await verdicts({ streamIds: [] })).toEqual([])
    const [stream] = await bench.query<{ id: number }>('select stream_id as id from ingest.stream')
    expect(await verdicts({ streamIds: [stream?.id ?? 0] })).toHaveLength(2)
  })

  test('names the raw page without which no file can be made, and goes on with the others', async () => {
    const [page] = await bench.query<{ path: string }>('select path from provenance.raw_page')
    const raw = container('raw').getBlockBlobClient(page?.path ?? '')
    const body = await raw.downloadToBuffer()
    const { metadata: ofPage = {} } = await raw.getProperties()
    await raw.delete()
    const detail = `raw page ${page?.path}: expected a blob, there is none`
    const found = expect.stringMatching(/^[0-9a-f]{64}$/)
    expect(await verdicts()).toEqual([
      { path: FILE.replace('2002', '2001'), kind: 'different', expected: null, found, detail },
      { path: FILE, kind: 'different', expected: null, found, detail },
    ])
    await raw.upload(body, body.byteLength, { metadata: ofPage })
  })

  describe('and without raw it compares the file with Postgres', () => {
    const hashes = async () => (await verdicts({}, verifyHashes))[1]

    test('by the hash of its bytes, whatever its metadata says', async () => {
      const body = await blob().downloadToBuffer()
      expect(await hashes()).toEqual({ path: FILE, kind: 'same', sha256: metadata.sha256 })
      await blob().upload('x', 1, { metadata })
      expect(await hashes()).toMatchObject({
        kind: 'different',
        expected: metadata.sha256,
        detail: expect.stringMatching(/^expected sha256/),
      })
      await bench.query(`update provenance.source_ingest set state = 'curating'`)
      expect(await hashes()).toEqual({ path: FILE, kind: 'pending' })
      await bench.query(`update provenance.source_ingest set state = 'published'`)
      await blob().delete()
      expect(await hashes()).toMatchObject({ kind: 'different', found: null })
      await blob().upload(body, body.byteLength, { metadata })
    })

    test.each(['sha256', 'contentsha256'])(
      'and by %s in its metadata, without which no writer believes it',
      async (name) => {
        await blob().setMetadata({ ...metadata, [name]: 'another' })
        expect(await hashes()).toMatchObject({
          kind: 'different',
          detail: expect.stringMatching(/in its metadata, got another$/),
        })
        await blob().setMetadata(metadata)
      },
    )
  })

  test('leaves a file of another transform version to a worker of that version', async () => {
    await bench.query('update curated.partition set transform_version = 7 where path = $1::text', [FILE])
    expect((await verdicts())[1]).toEqual({ path: FILE, kind: 'other-version', transformVersion: 7 })
  })
})
