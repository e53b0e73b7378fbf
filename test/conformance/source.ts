import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { Fault, FaultPlan } from '../../jobs/local/providers/faults.ts'
import type { ProviderSource } from '../../shared/sources/contract.ts'
import { SOURCES } from '../../shared/sources/registry.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { openWorkbench } from '../support/workbench.ts'
import { foreignBodyCases, throttlingCases, transitCases } from './source-answers.ts'
import { contentOf, ingestsOf, QUICK, rawBlobs, readAgain, statusesOf } from './source-fixtures.ts'
import { recordCases } from './source-records.ts'
import { credentialCases, silenceCases } from './source-refusals.ts'
import type { Content, Open, SourceUnderTest, Suite } from './source-under-test.ts'

/** The same cases on any source, through plan, land, curate and publish on real services. */
export function describeSource(source: SourceUnderTest): void {
  describe(`source ${source.name}`, () => {
    const environment = useTestEnvironment()
    const newServices = async () => ({
      databaseUrl: await environment.newDatabase(),
      storageConnectionString: environment.newStorageAccount(),
    })
    const start: Open = async ({ provider = {}, bench = {}, services } = {}) =>
      openWorkbench({
        ...(services ?? (await newServices())),
        streams: [source.stream],
        provider: { start: () => source.start(provider), settings: source.settings },
        http: QUICK,
        sources: withoutQuota(source.name),
        ...bench,
      })
    let clean: Content | undefined
    beforeAll(async () => {
      const undisturbed = await start()
      try {
        await undisturbed.settle()
        clean = await contentOf(undisturbed)
      } finally {
        await undisturbed.close()
      }
    })
    const suite: Suite = {
      source,
      newServices,
      async open(options) {
        const bench = await start(options)
        onTestFinished(() => bench.close())
        return bench
      },
      clean() {
        if (clean === undefined) throw new Error('undisturbed run: expected to be read inside a test')
        return clean
      },
    }
    windowCases(suite)
    pagingCases(suite)
    throttlingCases(suite)
    transitCases(suite)
    foreignBodyCases(suite)
    recordCases(suite)
    credentialCases(suite)
    silenceCases(suite)
  })
}

function windowCases({ source, open, clean }: Suite): void {
  test('two adjacent windows equal one', async () => {
    const [middle, second] = source.checkpoints[0] ?? ['none', 0]
    const first = source.records - second
    const bench = await open({ bench: { streams: [{ ...source.stream, until: middle }] } })
    await bench.settle()
    await bench.writeStreams([source.stream])
    await bench.settle()
    expect(await ingestsOf(bench)).toEqual([
      { state: 'published', epoch: 2, records: first, inserted: first },
      { state: 'published', epoch: 2, records: second, inserted: second },
    ])
    expect(await contentOf(bench)).toEqual(clean())
  })

  test('any checkpoint re-read yields all later records, and changes nothing', async () => {
    const bench = await open()
    await bench.settle()
    for (const [at] of source.checkpoints) await readAgain(bench, at, source.stream.until)
    const readAgainFacts = (await ingestsOf(bench)).filter(({ lane }) => lane === 'lookback')
    expect(readAgainFacts).toEqual(
      source.checkpoints.map(([, records]) => ({
        state: 'published',
        lane: 'lookback',
        epoch: 2,
        records,
        unchanged: records,
      })),
    )
    expect(await contentOf(bench)).toEqual(clean())
  })

  test('a stream that begins in the future is not planned', async () => {
    const { until: _, ...stream } = source.stream
    const bench = await open({ bench: { streams: [{ ...stream, origin: '2199-01-01' }] } })
    await bench.settle()
    expect([await ingestsOf(bench), statusesOf(bench)]).toEqual([[], []])
  })

  test('nothing is planned beyond now less the settle lag, cut to the granularity', async () => {
    const { until: _, ...stream } = source.stream
    const bench = await open({ bench: { streams: [stream] } })
    await bench.plan()
    const planned = await bench.query<{ ends: boolean }>(
      `select max(hi) = to_timestamp(floor(extract(epoch from max(planned_at) - make_interval(secs => max(settle_lag_s)))
                                     / max(granularity_s)) * max(granularity_s)) as ends
         from provenance.source_ingest join ingest.stream using (stream_id)`,
    )
    expect(planned).toEqual([{ ends: true }])
  })

  test('an empty window is proven: it covers, and makes no file', async () => {
    const bench = await open({ bench: { streams: [source.emptyStream] } })
    await bench.settle()
    const { origin, until } = source.emptyStream
    const window = `{["${origin} 00:00:00+00","${until} 00:00:00+00")}`
    expect(await ingestsOf(bench)).toEqual([{ state: 'empty', epoch: 1, records: 0 }])
    expect(await contentOf(bench)).toEqual({ partitions: {}, fetched: [window], published: [window] })
    expect(await rawBlobs(bench)).toHaveLength(1)
  })
}

function pagingCases({ source, open, clean }: Suite): void {
  const { records, pageRecords } = source

  test('a window of several pages is what one page gives', async () => {
    const bench = await open({ provider: { pageRecords } })
    await bench.settle()
    expect(await ingestsOf(bench)).toEqual([{ state: 'published', epoch: 2, records, inserted: records }])
    expect(await rawBlobs(bench)).toHaveLength(3)
    expect(await contentOf(bench)).toEqual(clean())
  })

  test('a record that appears before the cursor loses and doubles no other, and is found by the next read', async () => {
    let asked = 0
    const isLate = () => asked < 2
    const countRequests: FaultPlan = ({ count }) => {
      asked = count
      return undefined
    }
    const bench = await open({ provider: { pageRecords, isLate, faults: countRequests } })
    await bench.settle()
    const shifted = { state: 'published', epoch: 2, records: records - 1, inserted: records - 1 }
    expect(await ingestsOf(bench)).toEqual([shifted])
    await readAgain(bench, source.stream.origin, source.stream.until)
    const found = { state: 'published', lane: 'lookback', epoch: 2, records, inserted: 1, unchanged: records - 1 }
    expect(await ingestsOf(bench)).toEqual([shifted, found])
    expect(await contentOf(bench)).toEqual(clean())
  })

  test('a record that comes on two pages is one row, and both are accounted for', async () => {
    const bench = await open({ provider: { pageRecords, faults: [undefined, { kind: 'duplicate-row' }] } })
    await bench.settle()
    expect(await ingestsOf(bench)).toEqual([
      { state: 'published', epoch: 2, records: records + 1, inserted: records, superseded: 1 },
    ])
    expect(await contentOf(bench)).toEqual(clean())
  })

  test('a retry starts a new chain: pages of the chain that broke are kept and not read', async () => {
    const broken: Fault = { kind: 'error', status: 500 }
    const bench = await open({ provider: { pageRecords, faults: [undefined, broken, broken, broken] } })
    await bench.plan()
    expect(await bench.drain()).toEqual(['retry'])
    await bench.settle()
    expect(await ingestsOf(bench)).toEqual([{ state: 'published', epoch: 3, records, inserted: records }])
    const pages = (await rawBlobs(bench)).map(({ metadata: { epoch, pageno } }) => `${epoch}/${pageno}`)
    expect(pages).toEqual(['1/0', '2/0', '2/1', '2/2'])
    expect(await contentOf(bench)).toEqual(clean())
  })
}

/** The same source on a plan without its limit: at one token a second its cases would take minutes. */
function withoutQuota(name: string): ReadonlyMap<string, ProviderSource> {
  const source = SOURCES.get(name)
  if (source === undefined) throw new Error(`source ${name}: expected one of this build, there is none`)
  return new Map([[name, { ...source, budget: { ...source.budget, capacity: 100, refillPerS: 100 } }]])
}
