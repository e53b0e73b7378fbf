import { afterEach, describe, expect, test } from 'vitest'
import { readPartitionFile } from '../../shared/curated/partition-file.ts'
import { bars } from '../../shared/datasets/bars.ts'
import { columnOf } from '../../shared/datasets/row-batch.ts'
import type { ProviderSource } from '../../shared/sources/contract.ts'
import { SOURCES } from '../../shared/sources/registry.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { lakeState, readLake } from '../support/lake-state.ts'
import { filesUnlikeTheirRaw } from '../support/rebuilt-files.ts'
import { openWorkbench, TWO_YEARS, type Workbench } from '../support/workbench.ts'

const FILE = 'dataset=bars/timeframe=1d/symbol=SPX/year=2001/part-alpaca.parquet'
const FIRST_HALF = { ...TWO_YEARS, until: '2001-07-01' }
const ONE_YEAR = { ...TWO_YEARS, until: '2002-01-01' }

/** The same source as its next version would be: volumes in hundreds. */
function nextVersion(source: ProviderSource): ProviderSource {
  return {
    ...source,
    transformVersion: source.transformVersion + 1,
    bind(params) {
      const bound = source.bind(params)
      return {
        ...bound,
        records: (body, into) =>
          bound.records(body, {
            ...into,
            column(name) {
              const column = into.column(name)
              if (name !== 'volume') return column
              return { put: (value) => column.put(typeof value === 'number' ? value / 100 : value) }
            },
          }),
      }
    },
  }
}

const NEXT = new Map([...SOURCES].map(([id, source]) => [id, nextVersion(source)]))

describe('two transform versions alive', () => {
  const environment = useTestEnvironment()
  const opened: Workbench[] = []
  afterEach(async () => {
    for (const bench of opened.splice(0)) await bench.close()
  })
  const openBoth = async () => {
    const services = {
      databaseUrl: await environment.newDatabase(),
      storageConnectionString: environment.newStorageAccount(),
    }
    const old = await openWorkbench({ ...services, streams: [FIRST_HALF] })
    const next = await openWorkbench({ ...services, streams: [ONE_YEAR], sources: NEXT })
    opened.push(old, next)
    return { old, next }
  }
  const read = async (bench: Workbench) => {
    const file = await readPartitionFile(bench.platform.curated, bars, FILE)
    if (file.kind !== 'file') throw new Error(`expected a file, got ${file.kind}`)
    return {
      transformVersion: file.transformVersion,
      volumes: [...columnOf(file.rows, 'volume')] as number[],
      etag: file.etag,
    }
  }

  test('a file of an older version is rebuilt from all its ingests, so that no file mixes versions', async () => {
    const { old, next } = await openBoth()
    await old.settle()
    const before = await read(old)
    await next.settle()
    const after = await read(next)
    expect(after.transformVersion).toBe(before.transformVersion + 1)
    expect(after.volumes).toHaveLength(248)
    expect(after.volumes.slice(0, before.volumes.length)).toEqual(before.volumes.map((volume) => volume / 100))
    expect(await filesUnlikeTheirRaw(next.platform)).toEqual([])
    expect(await readLake(next.platform)).toEqual({ rows: 248, duplicateKeys: 0, wrongHashes: [] })
    expect((await lakeState(next.platform)).outcomes).toBe(248)
  })

  test('a worker that meets a file of a newer version gives its ingest back, counts no attempt and touches nothing', async () => {
    const { old, next } = await openBoth()
    await next.writeStreams([FIRST_HALF])
    await next.settle()
    const before = await read(next)
    await next.writeStreams([ONE_YEAR])
    const { planned } = await next.plan()
    const message = { v: 1, sourceIngestId: planned[0] }
    expect(await old.land(message)).toBe('landed')
    expect(await old.curate(message)).toBe('given-back')
    const [ingest] = await old.query<object>(
      `select state, attempts, error_class as "errorClass", error_summary as error from provenance.source_ingest where source_ingest_id = $1::uuid`,
      [planned[0]],
    )
    expect(ingest).toEqual({
      state: 'landed',
      attempts: 0,
      errorClass: 'OutdatedError',
      error: `curated file ${FILE}: expected at most transform version 1, got 2`,
    })
    expect(await read(next)).toEqual(before)
  })

  test('an ingest that a newer worker has begun is refused to an older one', async () => {
    const { old, next } = await openBoth()
    const { planned } = await next.plan()
    const message = { v: 1, sourceIngestId: planned[0] }
    await next.land(message)
    await next.query(`update provenance.source_ingest set transform_version = 2`)
    expect(await old.curate(message)).toBe('refused')
    expect(await next.curate(message)).toBe('published')
  })
})
