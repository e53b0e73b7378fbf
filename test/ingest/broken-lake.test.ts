import { gunzipSync, gzipSync } from 'node:zlib'
import { BlobServiceClient } from '@azure/storage-blob'
import { parquetWriteBuffer } from 'hyparquet-writer'
import { afterEach, describe, expect, test } from 'vitest'
import { useTestEnvironment } from '../support/environment.ts'
import { lakeState, readLake } from '../support/lake-state.ts'
import { filesUnlikeTheirRaw } from '../support/rebuilt-files.ts'
import { openWorkbench, TWO_YEARS, type Workbench } from '../support/workbench.ts'

const FILE = 'dataset=bars/timeframe=1d/symbol=SPX/year=2002/part-alpaca.parquet'
const ONE_YEAR = { ...TWO_YEARS, until: '2002-01-01' }

describe('damage in the lake', () => {
  const environment = useTestEnvironment()
  const opened: Workbench[] = []
  let storage = ''
  afterEach(async () => {
    for (const bench of opened.splice(0)) await bench.close()
  })
  const open = async (streams = [TWO_YEARS], { verify = true } = {}) => {
    storage = environment.newStorageAccount()
    const bench = await openWorkbench({
      databaseUrl: await environment.newDatabase(),
      storageConnectionString: storage,
      streams,
      verify,
    })
    opened.push(bench)
    return bench
  }
  /** Around the product, which has no way to overwrite or delete. */
  const blob = (container: string, path: string) =>
    BlobServiceClient.fromConnectionString(storage).getContainerClient(container).getBlockBlobClient(path)
  const overwrite = async (container: string, path: string, body: Uint8Array) => {
    const { metadata = {} } = await blob(container, path).getProperties()
    await blob(container, path).upload(body, body.byteLength, { metadata })
  }

  const RAW_DAMAGE: readonly (readonly [what: string, damage: (body: Buffer) => Buffer | null, message: RegExp])[] = [
    ['is missing', () => null, /raw page vendor=alpaca.+_p0\.json\.gz: expected a blob, there is none$/],
    ['is cut', (body) => body.subarray(0, 1000), /raw page .+: expected gzip, got 1000 bytes that are not \(.+\)$/],
    ['is no gzip', () => Buffer.from('<html>'), /raw page .+: expected gzip, got 6 bytes that are not \(.+\)$/],
    [
      'holds more than any page',
      // 150 kB that are said to hold 150 MB.
      () => Buffer.concat(Array<Buffer>(150).fill(gzipSync(Buffer.alloc(2 ** 20)))),
      /raw page .+: expected gzip, got \d+ bytes that are not \(Cannot create a Buffer larger than 134217728 bytes\)$/,
    ],
    [
      'was altered',
      (body) => gzipSync(gunzipSync(body).toString().replace('1283.27', '1283.28')),
      /raw page .+: expected sha256 [0-9a-f]{64}, got [0-9a-f]{64} \(\d+ bytes\)$/,
    ],
  ]
  test.each(RAW_DAMAGE)(
    'a raw page that %s fails its ingest with its name, publishes nothing, and can be replayed once it is whole',
    async (_what, damage, message) => {
      const bench = await open()
      const { planned } = await bench.plan()
      await bench.land({ v: 1, sourceIngestId: planned[0] })
      const [page] = await bench.query<{ path: string }>('select path from provenance.raw_page')
      const path = page?.path ?? ''
      const whole = await blob('raw', path).downloadToBuffer()
      const damaged = damage(whole)
      const { metadata = {} } = await blob('raw', path).getProperties()
      if (damaged === null) await blob('raw', path).delete()
      else await overwrite('raw', path, damaged)

      expect(await bench.curate({ v: 1, sourceIngestId: planned[0] })).toBe('failed')
      const [ingest] = await bench.query<{ state: string; error: string; name: string }>(
        'select state, error_summary as error, error_class as name from provenance.source_ingest',
      )
      expect(ingest).toMatchObject({ state: 'failed', name: 'PermanentError', error: expect.stringMatching(message) })
      expect((await lakeState(bench.platform)).published).toEqual(['{}'])
      expect(await readLake(bench.platform)).toEqual({ rows: 0, duplicateKeys: 0, wrongHashes: [] })
      await bench.sweep()
      expect(await openAlerts(bench)).toEqual(['failed_ingest alpaca/bars/SPX/1d'])

      await blob('raw', path).upload(whole, whole.byteLength, { metadata })
      await bench.query(`update provenance.source_ingest set state = 'landed', attempts = 0, queued_at = null`)
      await bench.settle()
      expect(await readLake(bench.platform)).toEqual({ rows: 500, duplicateKeys: 0, wrongHashes: [] })
      await bench.sweep()
      expect(await openAlerts(bench)).toEqual([])
    },
  )

  const CURATED_DAMAGE: readonly (readonly [what: string, damage: (body: Buffer) => Buffer, problem: RegExp])[] = [
    ['is not Parquet', () => Buffer.from('not parquet'), /expected sha256 [0-9a-f]{64}, got/],
    ['is cut', (body) => body.subarray(0, body.length >> 1), /expected sha256 [0-9a-f]{64}, got/],
    ['has another schema', () => otherSchema(), /expected sha256 [0-9a-f]{64}, got/],
  ]
  test.each(CURATED_DAMAGE)(
    'a curated file that %s is told, and made again from raw by the next ingest of its partition',
    async (_what, damage, problem) => {
      const undisturbed = await open()
      await undisturbed.settle()
      const expected = await lakeState(undisturbed.platform)

      // The year 2002 in two halves, so that the file holds rows of an earlier ingest when it is damaged.
      const bench = await open([{ ...TWO_YEARS, until: '2002-07-01' }])
      await bench.settle()
      await overwrite('curated', FILE, damage(await blob('curated', FILE).downloadToBuffer()))
      await bench.writeStreams([TWO_YEARS])
      await bench.settle()

      expect((await lakeState(bench.platform)).partitions).toEqual(expected.partitions)
      expect(await filesUnlikeTheirRaw(bench.platform)).toEqual([])
      expect(await readLake(bench.platform)).toEqual({ rows: 500, duplicateKeys: 0, wrongHashes: [] })
      await bench.sweep()
      const alerts = await bench.query<{ subject: string; closed: boolean; problem: string }>(
        `select subject, closed_at is not null as closed, detail ->> 'problem' as problem from ops.alert where kind = 'curated_file'`,
      )
      expect(alerts).toEqual([{ subject: FILE, closed: true, problem: expect.stringMatching(problem) }])
    },
  )

  test('a curated file of another schema whose hash is its own is told by its columns', async () => {
    const bench = await open([{ ...TWO_YEARS, until: '2002-07-01' }])
    await bench.settle()
    const body = otherSchema()
    const { createHash } = await import('node:crypto')
    const metadata = { sha256: createHash('sha256').update(body).digest('hex'), blobversion: '1' }
    await blob('curated', FILE).upload(body, body.byteLength, { metadata })
    await bench.writeStreams([TWO_YEARS])
    await bench.settle()
    expect(await readLake(bench.platform)).toEqual({ rows: 500, duplicateKeys: 0, wrongHashes: [] })
    const [alert] = await bench.query<{ problem: string }>(
      `select detail ->> 'problem' as problem from ops.alert where kind = 'curated_file'`,
    )
    expect(alert?.problem).toMatch(/^curated file dataset=bars.+: .*expected .+, got /)
  })

  test('a curated file that was removed by hand is made again with the rows of every ingest, never started anew', async () => {
    const bench = await open([{ ...TWO_YEARS, until: '2002-07-01' }])
    await bench.settle()
    await blob('curated', FILE).delete()
    await bench.writeStreams([TWO_YEARS])
    await bench.settle()
    expect(await readLake(bench.platform)).toEqual({ rows: 500, duplicateKeys: 0, wrongHashes: [] })
    expect(await filesUnlikeTheirRaw(bench.platform)).toEqual([])
  })

  test('a rebuild that misses a raw page refuses and names it, and the damaged file stays as it is', async () => {
    const bench = await open([ONE_YEAR], { verify: false })
    await bench.settle()
    const file = FILE.replace('2002', '2001')
    const [page] = await bench.query<{ path: string }>('select path from provenance.raw_page')
    await blob('raw', page?.path ?? '').delete()
    await overwrite('curated', file, Buffer.from('not parquet'))
    // The same year again, as a lookback would read it.
    await bench.query(`update ingest.stream set fetched = '{}', published = '{}', next_plan_at = null`)
    const { planned } = await bench.plan()
    await bench.land({ v: 1, sourceIngestId: planned[0] })
    expect(await bench.curate({ v: 1, sourceIngestId: planned[0] })).toBe('failed')
    const [ingest] = await bench.query<{ error: string }>(
      `select error_summary as error from provenance.source_ingest where state = 'failed'`,
    )
    expect(ingest?.error).toBe(`raw page ${page?.path}: expected a blob, there is none`)
    expect((await blob('curated', file).downloadToBuffer()).toString()).toBe('not parquet')
  })
})

function otherSchema(): Buffer {
  return Buffer.from(parquetWriteBuffer({ columnData: [{ name: 'ts', data: [1, 2, 3], type: 'INT32' }] }))
}

async function openAlerts({ query }: Workbench): Promise<readonly string[]> {
  const alerts = await query<{ alert: string }>(
    `select kind || ' ' || subject as alert from ops.alert where closed_at is null order by 1`,
  )
  return alerts.map(({ alert }) => alert)
}
