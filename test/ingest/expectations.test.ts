import { beforeEach, describe, expect, test } from 'vitest'
import { readExpectations } from '../../shared/ingest/plan/expectations.ts'
import { planWindows } from '../../shared/ingest/plan/plan.ts'
import type { MetadataRepository } from '../../shared/metadata/model/repository.ts'
import type { Platform } from '../../shared/platform.ts'
import { counted, volume } from '../metadata/fact.ts'
import { useGround } from './ground.ts'

const RUN = { initiatedBy: 'test', pipelineRunId: null }
const FIRST = { subject: 'TSLA', origin: '2020-01-01', until: '2020-01-11' }
const SECOND = { ...FIRST, subject: 'AAPL' }

/** The platform with a repository that answers like this, or never. */
function answering(platform: Platform, answer: () => Promise<never>): Platform {
  const repository: MetadataRepository['latestOfMany'] = answer
  const away = async () => ({ ...(await platform.metadata.repository()), latestOfMany: repository })
  return { ...platform, metadata: { ...platform.metadata, repository: away } }
}

describe('before the planner schedules', () => {
  const ground = useGround()
  beforeEach(() => ground.clear())
  const planned = () =>
    ground.query(
      `select s.subject, i.expected_records as records, i.expected_schema as schema
         from provenance.source_ingest i join ingest.stream s using (stream_id) order by 1`,
    )

  test('it reads the last volume and schema of each stream, and says what a window should bring', async () => {
    await ground.stream(FIRST)
    await ground.stream(SECOND)
    const repository = await ground.platform.metadata.repository()
    // Forty records in one day.
    await repository.store(volume(0, { payload: counted(40) }))
    const columns = [{ name: 'ts', type: 'timestamptz' }]
    const { schemaFingerprint } = await import('../../shared/metadata/model/kinds/schema-snapshot.ts')
    const fingerprint = schemaFingerprint(columns)
    await repository.store({
      ...volume(0, { context: { namespace: 'catalog', runId: 'catalog' } }),
      kind: 'schema_snapshot',
      payload: { place: 'parquet', fingerprint, columns },
    })
    const expectations = await readExpectations(ground.platform)
    await planWindows(ground.platform.db, { ...RUN, expectations })
    expect(await planned()).toEqual([
      { subject: 'AAPL', records: null, schema: null },
      { subject: 'TSLA', records: 400, schema: fingerprint },
    ])
  })

  test.each<[string, () => Promise<never>]>([
    ['does not answer in time', () => new Promise(() => undefined)],
    ['cannot be reached', () => Promise.reject(new Error('away'))],
  ])('where metadata %s it goes on without, and only streams that need it wait', async (_what, answer) => {
    await ground.stream(FIRST)
    const needs = await ground.stream({ ...SECOND, metadata_required: true })
    const expectations = await readExpectations(answering(ground.platform, answer), { deadlineMs: 50 })
    expect(expectations.heldBack).toEqual([needs])
    await planWindows(ground.platform.db, { ...RUN, expectations })
    expect(await planned()).toEqual([{ subject: 'TSLA', records: null, schema: null }])
    expect(ground.logged).toContainEqual(
      expect.objectContaining({ event: 'planned_without_metadata', streams: 2, held_back: 1 }),
    )
    // It answers again.
    await planWindows(ground.platform.db, { ...RUN, expectations: await readExpectations(ground.platform) })
    expect(await planned()).toHaveLength(2)
  })

  test('it asks nothing where no stream is due', async () => {
    await ground.stream({ ...FIRST, next_plan_at: '2999-01-01' })
    const never = () => Promise.reject(new Error('asked'))
    expect(await readExpectations(answering(ground.platform, never))).toEqual({ known: new Map(), heldBack: [] })
  })
})
