import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { encodePartition } from '../../shared/curated/parquet-writer.ts'
import { partitionPath } from '../../shared/curated/partition-path.ts'
import { bars } from '../../shared/datasets/bars.ts'
import type { Dataset } from '../../shared/datasets/contract.ts'
import { type Instant, MICROS_PER_DAY, parseInstant } from '../../shared/instant.ts'
import type { MetadataRecord } from '../../shared/metadata/model/record.ts'
import type { CollectOptions } from '../../shared/metadata/producers/catalog/collect-targets.ts'
import { curatedStreams } from '../../shared/metadata/producers/catalog/streams.ts'
import { collectCatalog } from '../../shared/metadata/producers/catalog.ts'
import { bar, toBatch } from '../curated/rows.ts'
import { type Row, useGround } from '../ingest/ground.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { openWorkbench } from '../support/workbench.ts'

const MORNING = parseInstant('2026-01-05T02:00:00Z') ?? 0n
const HOUR = MICROS_PER_DAY / 24n

const without = (...names: readonly string[]): Dataset => ({
  ...bars,
  columns: bars.columns.filter(({ name }) => !names.includes(name)),
})
const NOT_KEY = bars.columns.map(({ name }) => name).filter((name) => !bars.key.includes(name))
const NONE = { snapshots: 0, statistics: 0, differences: 0, suspect: 0, replayed: 0, failed: 0 }

describe('the catalog of curated files', () => {
  const ground = useGround()
  let subject = ''
  let subjects = 0
  beforeEach(async () => {
    await ground.clear()
    await ground.platform.curated.ensure()
    subject = `T${++subjects}`
  })
  const repository = () => ground.platform.metadata.repository()
  const collect = async (now: Instant = MORNING, options: Partial<CollectOptions> = {}) =>
    collectCatalog(ground.platform, { now, repository: await repository(), ...options })
  const target = () => ({ sourceId: 'alpaca', schema: 'bars', table: `${subject}/1d` })
  const latest = async (kind: string, scope = ''): Promise<MetadataRecord | undefined> =>
    (await (await repository()).latest({ target: target(), kind, scope }))?.record
  const severity = async () => (await latest('catalog_diff'))?.payload.severity

  /** A published file of this stream, with one bar of 2020 in it, unless `columns` say otherwise. */
  const publish = async (streamId: number, dataset: Dataset, year = '2020', columns: Row = {}) => {
    const key = `timeframe=1d/symbol=${subject}/year=${year}/part-alpaca`
    const path = partitionPath('bars', key)
    const bytes = encodePartition({ dataset, rows: toBatch(dataset, [bar({ symbol: subject })]), transformVersion: 1 })
    const old = await ground.platform.curated.head(path)
    const condition = old === null ? { kind: 'absent' as const } : { kind: 'unchanged' as const, etag: old.etag }
    const stored = await ground.platform.curated.put(path, bytes, { condition, contentType: 'x/y', metadata: {} })
    const ingest = await ground.ingest(streamId, { state: 'cancelled' })
    const row = {
      dataset: 'bars',
      partition_key: key,
      stream_id: streamId,
      path,
      blob_version: 1,
      etag: stored.written ? stored.etag : '',
      sha256: '0'.repeat(64),
      content_sha256: '0'.repeat(64),
      rows: 1,
      bytes: bytes.byteLength,
      min_ts: `${year}-01-02`,
      max_ts: `${year}-12-30`,
      transform_version: 1,
      contract_version: 1,
      source_ingest_id: ingest,
      updated_at: '2020-01-01',
      ...columns,
    }
    await ground.query('delete from curated.partition where partition_key = $1', [key])
    await ground.query(
      'insert into curated.partition select * from jsonb_populate_record(null::curated.partition, $1::jsonb)',
      [JSON.stringify(row)],
    )
    return { path, bytes: bytes.byteLength, etag: row.etag }
  }

  test('tells the columns as the newest file has them, and the key of the contract', async () => {
    const stream = await ground.stream({ subject })
    await publish(stream, without('vwap'), '2019')
    const { path, etag } = await publish(stream, bars)
    expect(await collect()).toEqual({ ...NONE, targets: 1, snapshots: 1, statistics: 1 })
    const snapshot = await latest('schema_snapshot')
    expect(snapshot).toMatchObject({
      producerId: 'catalog.v1',
      context: { namespace: 'catalog', jobId: 'catalog-parquet', runId: 'catalog/2026-01-05' },
      effectiveAt: '2026-01-05T02:00:00.000000Z',
      extras: { path, etag, contractVersion: 1, transformVersion: 1 },
      payload: { place: 'parquet' },
    })
    expect(snapshot?.payload.columns).toEqual([
      { name: 'ts', type: 'timestamp(us, utc)', nullable: false, key: true },
      { name: 'session_date', type: 'date', nullable: false },
      { name: 'open', type: 'double', nullable: false },
      { name: 'high', type: 'double', nullable: false },
      { name: 'low', type: 'double', nullable: false },
      { name: 'close', type: 'double', nullable: false },
      { name: 'volume', type: 'double', nullable: true },
      { name: 'symbol', type: 'string', nullable: false, key: true },
      { name: 'timeframe', type: 'string', nullable: false, key: true },
      { name: 'source', type: 'string', nullable: false, key: true },
      { name: 'adjustment', type: 'string', nullable: false },
      { name: 'trade_count', type: 'int64', nullable: true },
      { name: 'vwap', type: 'double', nullable: true },
      { name: '_observed_at', type: 'timestamp(us, utc)', nullable: false },
      { name: '_raw_sha256', type: 'string', nullable: false },
      { name: '_raw_row', type: 'int32', nullable: false },
    ])
  })

  test('tells what all files of the stream hold together', async () => {
    const stream = await ground.stream({ subject })
    await publish(stream, bars, '2019', { rows: 100, bytes: 1_000, min_ts: '2019-01-02 00:00:00.000001' })
    const { bytes } = await publish(stream, bars, '2020', { rows: 20 })
    await collect()
    expect(await latest('statistics_snapshot')).toMatchObject({
      quality: 'live',
      payload: {
        rows: 120,
        bytes: bytes + 1_000,
        files: 2,
        columns: [{ name: 'ts', min: '2019-01-02T00:00:00.000001Z', max: '2020-12-30T00:00:00.000000Z' }],
      },
    })
  })

  test('the newest file is of the newest contract and transform, whenever it was written', async () => {
    const stream = await ground.stream({ subject })
    const { path } = await publish(stream, without('vwap'), '2019', { contract_version: 2 })
    await publish(stream, bars, '2020', { transform_version: 9, updated_at: '2026-01-01' })
    await collect()
    expect((await latest('schema_snapshot'))?.extras?.path).toBe(path)
  })

  test('tells nothing twice on a day, and everything again on the next', async () => {
    await publish(await ground.stream({ subject }), bars)
    await collect()
    expect(await collect(MORNING + HOUR)).toEqual({ ...NONE, targets: 1 })
    // A little earlier than on the day before.
    expect(await collect(MORNING + MICROS_PER_DAY - HOUR)).toEqual({ ...NONE, targets: 1, snapshots: 1, statistics: 1 })
  })

  test('two collectors at once tell one thing', async () => {
    const streams = 6
    for (let at = 0; at < streams; at++) {
      subject = `${subject}-${at}`
      await publish(await ground.stream({ subject }), bars)
    }
    const both = await Promise.all([collect(), collect(), collect()])
    const sum = (count: 'snapshots' | 'statistics') => both.reduce((total, counts) => total + counts[count], 0)
    expect([sum('snapshots'), sum('statistics')]).toEqual([streams, streams])
  })

  test('a changed schema is told at once, with what changed and how grave it is', async () => {
    const stream = await ground.stream({ subject })
    await publish(stream, bars)
    await collect()
    const before = (await latest('schema_snapshot'))?.payload.fingerprint
    await publish(stream, without('vwap', 'close'))
    expect(await collect(MORNING + HOUR)).toEqual({ ...NONE, targets: 1, snapshots: 1, statistics: 1, differences: 1 })
    expect(await latest('catalog_diff')).toMatchObject({
      producerId: 'catalog.v1',
      extras: { severity: 'breaking' },
      payload: {
        from: before,
        to: (await latest('schema_snapshot'))?.payload.fingerprint,
        severity: 'breaking',
        changes: [
          { change: 'column_removed', column: 'close', before: 'double not null', severity: 'breaking' },
          { change: 'column_removed', column: 'vwap', before: 'double', severity: 'warning' },
        ],
      },
    })
  })

  test('a schema that goes back and forth within a day tells of every turn', async () => {
    const stream = await ground.stream({ subject })
    const turns: unknown[] = []
    for (const [hour, dataset] of [bars, without('close'), bars, without('close'), bars].entries()) {
      await publish(stream, dataset)
      const { snapshots, replayed } = await collect(MORNING + BigInt(hour) * HOUR)
      turns.push([snapshots, replayed, await severity()])
    }
    const broken = [1, 0, 'breaking']
    const mended = [1, 0, 'warning']
    expect(turns).toEqual([[1, 0, undefined], broken, mended, broken, mended])
  })

  test('what is found late, when something newer is known, is not told', async () => {
    const stream = await ground.stream({ subject })
    await publish(stream, bars)
    await collect(MORNING)
    await publish(stream, without('close'))
    expect(await collect(MORNING - 1n)).toEqual({ ...NONE, targets: 1 })
  })

  test('a snapshot without half of its columns is suspect: kept apart, compared with nothing', async () => {
    const stream = await ground.stream({ subject })
    await publish(stream, bars)
    await collect()
    await publish(stream, without(...NOT_KEY.slice(1)))
    expect(await collect(MORNING + HOUR)).toEqual({ ...NONE, targets: 1, suspect: 1, statistics: 1 })
    expect(await latest('schema_snapshot', 'suspect')).toMatchObject({ payload: { suspect: true } })
    expect((await latest('schema_snapshot'))?.payload.columns).toHaveLength(16)
    expect(await latest('catalog_diff')).toBeUndefined()
    expect(ground.logged).toContainEqual(expect.objectContaining({ event: 'catalog_suspect', level: 'warn' }))
    // Not again on this day; and when the columns are back, nothing happened.
    expect(await collect(MORNING + 2n * HOUR)).toEqual({ ...NONE, targets: 1 })
    await publish(stream, bars)
    expect(await collect(MORNING + 3n * HOUR)).toEqual({ ...NONE, targets: 1 })
  })

  test('a suspect snapshot that a person accepts is one like any other', async () => {
    const stream = await ground.stream({ subject })
    await publish(stream, bars)
    await collect()
    await publish(stream, without(...NOT_KEY))
    const collected = await collect(MORNING + HOUR, { acceptSuspect: true })
    expect(collected).toMatchObject({ snapshots: 1, differences: 1, suspect: 0 })
    expect(await severity()).toBe('breaking')
  })

  test('a file that is gone fails its stream alone, and is no change of the schema', async () => {
    const gone = await ground.stream({ subject })
    const { path, etag } = await publish(gone, bars)
    await collect()
    await ground.platform.curated.remove(path, etag)
    const lost = target()
    subject = `${subject}b`
    await publish(await ground.stream({ subject }), bars)
    expect(await collect(MORNING + MICROS_PER_DAY)).toEqual({
      ...NONE,
      targets: 2,
      snapshots: 1,
      statistics: 1,
      failed: 1,
    })
    expect(await (await repository()).latest({ target: lost, kind: 'catalog_diff' })).toBeNull()
    expect(ground.logged).toContainEqual(
      expect.objectContaining({
        event: 'metadata_producer_failed',
        target: `alpaca/bars/${lost.table}`,
        error: expect.stringContaining(`file ${path}: expected it in the lake, got none`),
      }),
    )
  })

  test.each([
    ['cut short', (bytes: Uint8Array) => bytes.subarray(0, bytes.length - 20)],
    ['empty', () => new Uint8Array()],
    ['no parquet', () => new TextEncoder().encode('<html>not found</html>')],
    ['of a footer longer than itself', (bytes: Uint8Array) => withFooterLength(bytes, 0xffff_fff0)],
    ['of a footer that is noise', (bytes: Uint8Array) => withFooterLength(bytes, bytes.length - 12)],
  ])('a file that is %s fails its stream, with its name', async (_what, damage) => {
    const { path } = await publish(await ground.stream({ subject }), bars)
    const blob = await ground.platform.curated.get(path)
    const condition = { kind: 'unchanged' as const, etag: blob?.etag ?? '' }
    const damaged = damage(blob?.body ?? new Uint8Array())
    await ground.platform.curated.put(path, damaged, { condition, contentType: 'x/y', metadata: {} })
    expect(await collect()).toEqual({ ...NONE, targets: 1, failed: 1 })
    const failed = ground.logged.find(({ event }) => event === 'metadata_producer_failed')
    expect(failed?.error).toContain(`file ${path}: expected `)
  })

  test.each([100, 3_000, 100_000])(
    'a file that was replaced since Postgres heard of %i bytes is read as it is now',
    async (bytes) => {
      await publish(await ground.stream({ subject }), without('vwap'), '2020', { bytes })
      expect(await collect()).toMatchObject({ snapshots: 1, failed: 0 })
    },
  )

  test('a footer longer than what is first asked for is read whole', async () => {
    const wide: Dataset = {
      ...bars,
      columns: [
        ...bars.columns,
        ...Array.from({ length: 1_000 }, (_, at) => ({
          name: `measurement_${at}`,
          type: 'double' as const,
          nullable: true,
          description: 'one of many',
        })),
      ],
    }
    await publish(await ground.stream({ subject }), wide)
    expect(await collect()).toMatchObject({ snapshots: 1, failed: 0 })
    expect((await latest('schema_snapshot'))?.payload.columns).toHaveLength(1_016)
  })

  test('streams without files are not looked at, and a page ends nowhere in between', async () => {
    await ground.stream()
    for (let at = 0; at < 3; at++) {
      subject = `${subject}-${at}`
      await publish(await ground.stream({ subject }), bars)
    }
    await ground.stream()
    const found: string[] = []
    for await (const { table } of curatedStreams(ground.platform.db, 2)) found.push(table)
    expect(found).toHaveLength(3)
    expect(await collect(MORNING, { atOnce: 2 })).toEqual({ ...NONE, targets: 3, snapshots: 3, statistics: 3 })
  })

  test('a run that is told to stop begins no further stream', async () => {
    await publish(await ground.stream({ subject }), bars)
    expect(await collect(MORNING, { stop: AbortSignal.abort() })).toEqual({ ...NONE, targets: 0 })
  })
})

describe('the catalog of what a stream published', () => {
  const environment = useTestEnvironment()
  let close = async () => {}
  afterEach(() => close())

  test('is its contract, and counts what Postgres counts', async () => {
    const bench = await openWorkbench({
      databaseUrl: environment.databaseUrl,
      storageConnectionString: environment.storageConnectionString,
    })
    close = bench.close
    await bench.settle()
    const repository = await bench.platform.metadata.repository()
    const collected = await collectCatalog(bench.platform, { now: MORNING, repository })
    expect(collected).toEqual({ ...NONE, targets: 1, snapshots: 1, statistics: 1 })
    const target = { sourceId: 'alpaca', schema: 'bars', table: 'SPX/1d' }
    const schema = await repository.latest({ target, kind: 'schema_snapshot' })
    expect(schema?.record.payload.columns).toHaveLength(bars.columns.length + 3)
    const statistics = await repository.latest({ target, kind: 'statistics_snapshot' })
    const [counted] = await bench.query('select sum(rows)::int as rows, count(*)::int as files from curated.partition')
    expect(statistics?.record.payload).toMatchObject(counted as Row)
  })
})

function withFooterLength(bytes: Uint8Array, length: number): Uint8Array {
  const damaged = Uint8Array.from(bytes)
  new DataView(damaged.buffer).setUint32(damaged.length - 8, length, true)
  return damaged
}
