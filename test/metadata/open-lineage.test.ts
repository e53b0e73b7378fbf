import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Ajv2020 } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { withoutHook } from '../../shared/io-hook.ts'
import { createLog, type LogFields } from '../../shared/log/log.ts'
import { type OpenLineageOptions, openLineageConsumer } from '../../shared/metadata/consumers/open-lineage.ts'
import { runConsumers } from '../../shared/metadata/feed/consumer.ts'
import { fixedKinds } from '../../shared/metadata/model/kind-book.ts'
import { schemaFingerprint } from '../../shared/metadata/model/kinds/schema-snapshot.ts'
import { KINDS } from '../../shared/metadata/model/kinds.ts'
import type { NewMetadataRecord } from '../../shared/metadata/model/record.ts'
import { openLineageRunId } from '../../shared/metadata/open-lineage/naming.ts'
import { createNameBook } from '../../shared/metadata/postgres/names.ts'
import { openPostgresRepository } from '../../shared/metadata/postgres/repository.ts'
import { type Database, openDatabase } from '../../shared/postgres/database.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { COUNTS, TARGET, volume } from './fact.ts'

const NOT_READ_YET = {
  name: 'test_records_not_read_yet',
  text: `
select count(*)::int as n from metadata.record r join metadata.consumer c on (r.xid, r.seq) > (c.xid, c.seq)
 where c.consumer = 'open-lineage'`,
}

const RUN = '01936b2e-0000-7000-8000-000000000001'
const FACETS = 'https://openlineage.io/spec/facets/'

const facet = z.looseObject({ _schemaURL: z.string() })
const facets = z.record(z.string(), facet).optional()
const dataset = z.looseObject({
  namespace: z.string(),
  name: z.string(),
  facets,
  inputFacets: facets,
  outputFacets: facets,
})
const lineageEvent = z.looseObject({
  eventType: z.string().optional(),
  eventTime: z.string(),
  run: z.looseObject({ runId: z.string(), facets }).optional(),
  job: z.looseObject({ namespace: z.string(), name: z.string(), facets }).optional(),
  inputs: z.array(dataset).optional(),
  outputs: z.array(dataset).optional(),
  dataset: dataset.optional(),
})
type Told = z.output<typeof lineageEvent>

const read = (name: string) => JSON.parse(readFileSync(`test/metadata/open-lineage/${name}`, 'utf8'))

function createChecker() {
  const ajv = new Ajv2020({ strict: false, allErrors: true })
  formats.default(ajv)
  const validate = ajv.compile(read('OpenLineage-2-0-2.json'))
  const known = read('facets.json')
  ajv.addSchema(known)
  /** Everything that is wrong with an event, its facets included. */
  return (event: Told): readonly string[] => {
    const wrong = validate(event)
      ? []
      : (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`)
    const sets = [event.run, event.job, event.dataset, ...(event.inputs ?? []), ...(event.outputs ?? [])]
    for (const { facets, inputFacets, outputFacets } of sets.flatMap((one) =>
      one ? [dataset.partial().parse(one)] : [],
    )) {
      for (const [name, one] of Object.entries({ ...facets, ...inputFacets, ...outputFacets })) {
        if (!one._schemaURL.startsWith(FACETS)) continue
        const [path = ''] = one._schemaURL.slice(FACETS.length).split('#')
        const key = path.replaceAll('~', '~0').replaceAll('/', '~1')
        const check = ajv.getSchema(`${known.$id}#/$defs/${key}`)
        if (check === undefined) wrong.push(`${name}: no schema ${path}`)
        else if (!check(one))
          wrong.push(...(check.errors ?? []).map((error) => `${name}${error.instancePath} ${error.message}`))
      }
    }
    return wrong
  }
}

describe('the OpenLineage consumer', () => {
  const environment = useTestEnvironment()
  const check = createChecker()
  const logged: LogFields[] = []
  const log = createLog({ sink: (level, line) => logged.push({ level, ...line }), level: 'info', secrets: [] })
  let db: Database
  let server: Server
  let url: string
  let told: Told[] = []
  let asked: { readonly path: string; readonly key: string | undefined }[] = []
  let statusOf: (event: Told) => number = () => 201

  beforeAll(async () => {
    const connection = { kind: 'url', url: environment.databaseUrl } as const
    db = openDatabase({ connection, connectionsMax: 2, applicationName: 'test' }, withoutHook)
    server = createServer(async (request, response) => {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(Buffer.from(chunk))
      const event = lineageEvent.parse(JSON.parse(Buffer.concat(chunks).toString()))
      const status = statusOf(event)
      asked.push({ path: request.url ?? '', key: request.headers.authorization })
      if (status < 300) told.push(event)
      response.writeHead(status).end()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  afterAll(async () => {
    server.closeAllConnections()
    server.close()
    await db.close()
  })
  afterEach(() => {
    told = []
    asked = []
    statusOf = () => 201
  })

  const repository = (tenant = 'ours') => {
    const store = { db, names: createNameBook(), kinds: fixedKinds(KINDS) }
    return openPostgresRepository({ store, environment: { tenant, workspace: 'prod' } })
  }
  const store = async (...records: readonly NewMetadataRecord[]) => {
    const results = await repository().bulkStore(records)
    expect(results.map((one) => (one.outcome === 'refused' ? one.problem.detail : one.outcome))).toEqual(
      records.map(() => 'stored'),
    )
  }
  const consumer = (options: Partial<OpenLineageOptions> = {}) =>
    openLineageConsumer({ url, datasetEvents: true, log, backoffBaseMs: 1, ...options })
  /** Until nothing is left: what was stored is read a moment later where other tests write in the same server. */
  const follow = async (given = consumer(), batchMax = 500) => {
    for (;;) {
      const [run] = await runConsumers(db, [given], { log, batchMax })
      if (run?.state !== 'done') return run
      const [left] = await db.query<{ readonly n: number }>(NOT_READ_YET)
      if (left?.n === 0) return run
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
  const eventTypes = () => told.map(({ eventType, run }) => `${eventType} ${run?.runId}`)

  const target = (table: string) => ({ ...TARGET, table })
  const runtime = (table: string, runId: string, outcome = 'pass', more = {}): NewMetadataRecord => ({
    ...volume(0, { target: target(table), context: { namespace: 'ingest', runId } }),
    kind: 'ingestion_runtime',
    outcome,
    payload: {
      state: 'published',
      startedAt: '2024-01-02T00:00:01Z',
      finishedAt: '2024-01-02T00:00:09Z',
      claims: 1,
      retries: 0,
      ...more,
    },
  })
  const brought = (table: string, runId: string) =>
    volume(0, {
      target: target(table),
      context: { namespace: 'ingest', runId },
      payload: { ...COUNTS, bytes: 2_048, pages: 2, files: 1, filter: { symbol: 'TSLA', limit: 100 } },
      links: { outputs: [target(table)], parent: 'tick 7' },
      extras: { lane: 'live' },
    })

  test('a run that ended is START and COMPLETE, with what it read and wrote', async () => {
    await store(brought('ended', RUN), runtime('ended', RUN))
    expect(await follow()).toMatchObject({ state: 'done' })
    expect(told.flatMap(check)).toEqual([])
    expect(eventTypes()).toEqual([`START ${RUN}`, `COMPLETE ${RUN}`])
    const [start, complete] = told
    expect([start?.eventTime, complete?.eventTime]).toEqual(['2024-01-02T00:00:01Z', '2024-01-02T00:00:09Z'])
    expect(complete?.job).toMatchObject({ namespace: 'ours/prod', name: 'ingest.alpaca.bars.ended' })
    expect(complete?.inputs).toMatchObject([
      { namespace: 'provider://alpaca', inputFacets: { inputStatistics: { rowCount: 10, size: 2_048, fileCount: 2 } } },
    ])
    expect(complete?.outputs).toMatchObject([
      { namespace: 'tributary://ours', outputFacets: { outputStatistics: { rowCount: 8, fileCount: 1 } } },
    ])
    expect(complete?.run?.facets?.nominalTime).toMatchObject({ nominalStartTime: '2024-01-01T00:00:00.000000Z' })
  })

  test('a run that failed is FAIL, with its error', async () => {
    const runId = '01936b2e-0000-7000-8000-000000000002'
    await store(
      runtime('failed', runId, 'fail', { state: 'failed', error: { class: 'ContractError', summary: 'no json' } }),
    )
    await follow()
    expect(told.flatMap(check)).toEqual([])
    expect(eventTypes()).toEqual([`START ${runId}`, `FAIL ${runId}`])
    expect(told[1]?.run?.facets?.errorMessage).toMatchObject({ message: 'ContractError: no json' })
  })

  test('volume and runtime belong together wherever the page between them ends', async () => {
    const [one, two] = ['01936b2e-0000-7000-8000-000000000003', '01936b2e-0000-7000-8000-000000000004']
    await store(brought('pages', one), runtime('pages', one), brought('pages 2', two))
    await follow(consumer(), 1)
    await store(runtime('pages 2', two))
    await follow(consumer(), 1)
    expect(told.flatMap(check)).toEqual([])
    expect(eventTypes().slice(0, 2)).toEqual([`START ${one}`, `COMPLETE ${one}`])
    expect(told[1]?.outputs?.[0]?.outputFacets).toHaveProperty('outputStatistics')
    expect(eventTypes().slice(2)).toEqual([`START ${two}`, `COMPLETE ${two}`, `START ${two}`, `COMPLETE ${two}`])
  })

  test.each<[string, string, boolean | undefined, string]>([
    ['pass', 'a', true, 'pass'],
    ['warn', 'b', false, 'fail'],
    ['fail', 'c', false, 'fail'],
    ['insufficient_history', 'd', undefined, 'skip'],
    ['error', 'e', undefined, 'skip'],
  ])('a check that ends with %s is a run of its own, with what it asserts', async (outcome, table, success, status) => {
    const record: NewMetadataRecord = {
      ...volume(0, {
        target: target(`recon ${table}`),
        context: { namespace: 'recon', jobId: 'nightly', runId: 'recon 1' },
      }),
      kind: 'recon_result',
      outcome,
      scope: '2024-01',
      payload: {
        check: 'volume',
        metric: 'records',
        observed: 10,
        expected: 12.5,
        band: { method: 'median', mode: 'mature', points: 30, parameters: {}, inputHash: '0'.repeat(64) },
      },
    }
    await store(record)
    await follow()
    expect(told.flatMap(check)).toEqual([])
    expect(told.map(({ eventType }) => eventType)).toEqual(['START', 'COMPLETE'])
    const [, complete] = told
    expect(complete?.job?.name).toBe(`recon.alpaca.bars.recon ${table}`)
    expect(complete?.run?.facets?.parent).toMatchObject({ run: { runId: openLineageRunId('ours', 'recon 1') } })
    expect(complete?.run?.facets?.test).toMatchObject({ tests: [{ status, expected: '12.5', params: { n: 30 } }] })
    const assertions = complete?.inputs?.[0]?.inputFacets?.dataQualityAssertions?.assertions
    expect(assertions ?? [{ success: undefined }]).toMatchObject([{ success }])
  })

  const columns = [
    { name: 'ts', type: 'timestamptz', comment: 'of the bar' },
    { name: 'close', type: 'float8' },
  ]
  const about = (kind: string, payload: NewMetadataRecord['payload']): NewMetadataRecord => ({
    ...volume(0, { target: target(kind), context: { namespace: 'catalog', runId: `${kind} 1` } }),
    kind,
    payload,
  })
  const DATASETS = [
    about('schema_snapshot', { place: 'parquet', fingerprint: schemaFingerprint(columns), columns }),
    about('statistics_snapshot', {
      rows: 5,
      bytes: 100,
      files: 1,
      columns: [{ name: 'close', nulls: 1, distinct: 4, min: 1.5, max: '9007199254740993' }],
    }),
    about('catalog_diff', {
      from: 'a'.repeat(64),
      to: 'b'.repeat(64),
      fingerprint: 'c'.repeat(64),
      severity: 'breaking',
      changes: [{ change: 'table_dropped', severity: 'breaking' }],
    }),
  ]

  test('schemas, statistics and differences are events of a dataset', async () => {
    await store(...DATASETS)
    await follow()
    expect(told.flatMap(check)).toEqual([])
    const found = Object.fromEntries(told.map(({ dataset }) => [dataset?.name.split('.')[2], dataset?.facets]))
    expect(found.schema_snapshot?.schema?.fields).toMatchObject([
      { name: 'ts', ordinal_position: 1 },
      { ordinal_position: 2 },
    ])
    expect(found.statistics_snapshot?.dataQualityMetrics).toMatchObject({
      rowCount: 5,
      columnMetrics: { close: { nullCount: 1, min: 1.5 } },
    })
    expect(found.catalog_diff).toMatchObject({
      lifecycleStateChange: { lifecycleStateChange: 'DROP' },
      tributary_catalogDiff: { severity: 'breaking' },
    })
  })

  test('a receiver that takes no events of datasets gets none', async () => {
    await store(...DATASETS.map((record) => ({ ...record, scope: 'again' })))
    expect(await follow(consumer({ datasetEvents: false }))).toMatchObject({ state: 'done' })
    expect(asked).toEqual([])
  })

  test('an event of more than 1 MB is told without its facets', async () => {
    const inputs = Array.from({ length: 99 }, (_, n) => target(`wide ${n}`))
    await store({
      ...about('recon_result', { check: 'volume', metric: 'm', observed: 1, expected: 1, detail: '"'.repeat(8_000) }),
      outcome: 'pass',
      links: { inputs },
    })
    await follow()
    expect(told.flatMap(check)).toEqual([])
    expect(told.map((event) => JSON.stringify(event).length < 1_000_000)).not.toContain(false)
    expect(told.map(({ inputs, run }) => [inputs?.length, run?.facets])).toEqual(Array(2).fill([99, undefined]))
  })

  test('an event that the receiver refuses is logged and left; what follows is told', async () => {
    const [one, two] = ['01936b2e-0000-7000-8000-000000000005', '01936b2e-0000-7000-8000-000000000006']
    await store(runtime('refused', one), runtime('taken', two))
    statusOf = (event) => (event.job?.name.endsWith('refused') ? 422 : 200)
    logged.length = 0
    expect(await follow()).toMatchObject({ state: 'done' })
    expect(eventTypes()).toEqual([`START ${two}`, `COMPLETE ${two}`])
    expect(logged.filter(({ event }) => event === 'open_lineage_event_refused')).toHaveLength(2)
  })

  test.each([503, 429, 401, 404])(
    'while the receiver answers %s the cursor waits, and nothing is told twice',
    async (status) => {
      const runId = `away ${status}`
      await store(runtime(`away ${status} a`, `${runId} a`), runtime(`away ${status} b`, `${runId} b`))
      const given = consumer()
      statusOf = (event) => (event.job?.name.endsWith('b') ? status : 201)
      expect(await follow(given)).toMatchObject({ state: 'failed' })
      statusOf = () => 204
      expect(await follow(given)).toMatchObject({ state: 'done' })
      const [a, b] = ['a', 'b'].map((name) => openLineageRunId('ours', `${runId} ${name}`))
      expect(eventTypes()).toEqual([`START ${a}`, `COMPLETE ${a}`, `START ${b}`, `COMPLETE ${b}`])
    },
  )

  test('the key goes with every event, to the route that the address names', async () => {
    await store(runtime('key', 'key 1'))
    await follow(consumer({ apiKey: 'k1', url: `${url}/api/v1/openlineage/lineage?x=1` }))
    await store(runtime('key', 'key 2'))
    await follow()
    expect(asked.map(({ path, key }) => `${path} ${key}`)).toEqual([
      ...Array(2).fill('/api/v1/openlineage/lineage?x=1 Bearer k1'),
      ...Array(2).fill('/api/v1/lineage undefined'),
    ])
  })

  test('a run id that is no UUID becomes the same one wherever it is named, another one per tenant', () => {
    const id = openLineageRunId('ours', 'run 1')
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(openLineageRunId('ours', 'run 1')).toBe(id)
    expect(new Set([id, openLineageRunId('theirs', 'run 1'), openLineageRunId('ours', 'run 2')]).size).toBe(3)
    expect(openLineageRunId('ours', RUN.toUpperCase())).toBe(RUN)
  })
})
