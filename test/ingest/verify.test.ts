import { BlobServiceClient } from '@azure/storage-blob'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Verdict, verifyPartitions } from '../../shared/ingest/verify.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { openWorkbench, type Workbench } from '../support/workbench.ts'

const FILE = 'dataset=bars/timeframe=1d/symbol=SPX/year=2002/part-alpaca.parquet'

describe('I3 same bytes: verify rebuilds every partition from raw', () => {
  const environment = useTestEnvironment()
  let bench: Workbench
  beforeAll(async () => {
    bench = await openWorkbench({
      databaseUrl: environment.databaseUrl,
      storageConnectionString: environment.storageConnectionString,
      verify: false,
    })
    await bench.settle()
  })
  afterAll(() => bench.close())

  const verdicts = async () => {
    const all: Verdict[] = []
    for await (const verdict of verifyPartitions(bench.platform, new AbortController().signal)) all.push(verdict)
    return all
  }
  const blob = () =>
    BlobServiceClient.fromConnectionString(environment.storageConnectionString)
      .getContainerClient('curated')
      .getBlockBlobClient(FILE)

  test('and says that the bytes are the same', async () => {
    expect(await verdicts()).toMatchObject([{ kind: 'same' }, { path: FILE, kind: 'same' }])
  })

  test('says pending while an ingest that is listed for the file is not published, whatever the file holds', async () => {
    const body = await blob().downloadToBuffer()
    await blob().upload('x', 1)
    await bench.query(`update provenance.source_ingest set state = 'failed'`)
    expect((await verdicts())[1]).toEqual({ path: FILE, kind: 'pending' })
    await bench.query(`update provenance.source_ingest set state = 'published'`)
    await blob().upload(body, body.byteLength)
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
    await blob().upload(body, body.byteLength)
  })

  test('leaves a file of another transform version to a worker of that version', async () => {
    await bench.query('update curated.partition set transform_version = 7 where path = $1::text', [FILE])
    expect((await verdicts())[1]).toEqual({ path: FILE, kind: 'other-version', transformVersion: 7 })
  })
})
