import { describe, expect, onTestFinished, test } from 'vitest'
import { openContainer } from '../../shared/azure/blobs.ts'
import { openTable } from '../../shared/azure/tables.ts'
import { LATEST_TABLE } from '../../shared/config/storage-names.ts'
import { withoutHook } from '../../shared/io-hook.ts'
import { runNightly } from '../../shared/ops/nightly.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { openWorkbench } from '../support/workbench.ts'

const BY = { actor: 'test', stop: new AbortController().signal }

describe('what is done once a day', () => {
  const environment = useTestEnvironment()
  const open = async (env: Readonly<Record<string, string>> = {}) => {
    const bench = await openWorkbench({
      databaseUrl: await environment.newDatabase(),
      storageConnectionString: environment.newStorageAccount(),
      env,
    })
    onTestFinished(() => bench.close())
    const account = bench.platform.settings.lakeStorage
    await openContainer({ account, container: 'metadata', hook: withoutHook }).ensure()
    await openTable({ account, table: LATEST_TABLE }).ensure()
    await bench.settle()
    return bench
  }
  const latest = async ({ platform }: Awaited<ReturnType<typeof open>>, table: string, kind: string) => {
    const [sourceId = '', schema = '', ...rest] = table.split('/')
    const repository = await platform.metadata.repository()
    return (await repository.latest({ target: { sourceId, schema, table: rest.join('/') }, kind }))?.record
  }

  test('tells the columns and the size of curated files and of the own tables, and repeats nothing the same day', async () => {
    const bench = await open()
    const first = await runNightly(bench.platform, BY)
    expect(first.map(({ step }) => step)).toEqual([
      'catalog',
      'catalog of postgres',
      'compaction',
      'rollups',
      'token budgets',
    ])
    expect(first[0]?.result).toMatchObject({ targets: 1, snapshots: 1, statistics: 1, failed: 0 })
    const bars = await latest(bench, 'alpaca/bars/SPX/1d', 'statistics_snapshot')
    expect(bars?.payload).toMatchObject({ rows: 500, files: 2 })
    const ingests = await latest(bench, 'tributary/provenance/source_ingest', 'schema_snapshot')
    expect(ingests?.payload.place).toBe('postgres')
    const [again] = await runNightly(bench.platform, BY)
    expect(again?.result).toMatchObject({ targets: 1, snapshots: 0, statistics: 0, failed: 0 })
  })

  test('moves raw pages that are older than their retention to the archive, from where everything is still made again', async () => {
    const bench = await open({ TRIBUTARY_RAW_RETENTION: 'alpaca=7d' })
    const account = bench.platform.settings.lakeStorage
    const raw = openContainer({ account, container: 'raw', hook: withoutHook })
    await bench.query(`update provenance.raw_page set fetched_at = fetched_at - interval '8 days'`)
    const results = await runNightly(bench.platform, BY)
    expect(results.at(-1)).toMatchObject({
      step: 'raw retention',
      result: [{ source: 'alpaca', pages: 1, damaged: 0 }],
    })
    const left: string[] = []
    for await (const { path } of raw.list('')) left.push(path)
    expect(left).toEqual([])
    // The workbench makes every file again from raw when it is closed.
  })

  test('a step that fails stops no other, and fails the run', async () => {
    const bench = await open()
    const { platform } = bench
    const away = {
      ...platform,
      metadata: { ...platform.metadata, repository: () => Promise.reject(new Error('away')) },
    }
    await expect(runNightly(away, BY)).rejects.toThrow(
      'nightly: expected every step to end well, got catalog: away; catalog of postgres: away',
    )
    expect(bench.logged).toContainEqual(expect.objectContaining({ event: 'nightly_step', step: 'compaction' }))
    expect(await bench.query(`select status from ops.pipeline_runs where job = 'nightly'`)).toEqual([
      { status: 'failure' },
    ])
  })
})
