import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseInstant } from '../../shared/instant.ts'
import { createLog, type LogFields } from '../../shared/log/log.ts'
import { buildRecord, type RecordParts } from '../../shared/metadata/model/build-record.ts'
import { checkRecord } from '../../shared/metadata/model/check.ts'
import { type IngestionVolume, ingestionVolume } from '../../shared/metadata/model/kinds/ingestion-volume.ts'
import { KINDS } from '../../shared/metadata/model/kinds.ts'
import { createNameBook } from '../../shared/metadata/postgres/names.ts'
import { openPostgresRepository } from '../../shared/metadata/postgres/repository.ts'
import { createProducerRunner, type MetadataProducer } from '../../shared/metadata/producers/producer.ts'
import { OURS, useDispatch } from './dispatch-bench.ts'
import { COUNTS, TARGET, volume } from './fact.ts'

const now = parseInstant('2026-01-01T00:00:00Z') ?? 0n
const PARTS: RecordParts<IngestionVolume> = {
  kind: ingestionVolume,
  target: TARGET,
  context: { namespace: 'ingest', runId: 'r' },
  payload: COUNTS,
  producerId: 'test.v1',
  producedAt: now,
}
const check = (record: unknown) => checkRecord(record, { kinds: KINDS, environment: OURS, now })

describe('a built record', () => {
  test('is of the newest version of its kind, with instants of fixed width', () => {
    expect(buildRecord({ ...PARTS, window: { start: 0n, end: 1n } })).toEqual({
      target: TARGET,
      context: PARTS.context,
      kind: 'ingestion_volume',
      kindVersion: '1.0',
      payload: COUNTS,
      producerId: 'test.v1',
      producedAt: '2026-01-01T00:00:00.000000Z',
      window: { start: '1970-01-01T00:00:00.000000Z', end: '1970-01-01T00:00:00.000001Z' },
    })
  })

  test('has its text made storable, its big numbers text, and what is no number null', () => {
    const extras = {
      a: 'x\u0000\ud800y',
      b: 2n ** 60n,
      c: Number.NaN,
      d: undefined,
      constructor: 1,
      e: 5n,
      f: new Date(0),
    }
    expect(buildRecord({ ...PARTS, extras }).extras).toEqual({
      a: 'x\ufffd\ufffdy',
      b: '1152921504606846976',
      c: null,
      constructor_: 1,
      e: 5,
      f: '1970-01-01T00:00:00.000Z',
    })
  })

  test('is stored, whatever others wrote into its extras', () => {
    const anything = fc.anything({
      withBigInt: true,
      withDate: true,
      withSparseArray: true,
      stringUnit: 'binary',
      maxDepth: 5,
    })
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: 'binary' }), anything), (extras) => {
        const { lane: _, ...rest } = extras
        expect(check(buildRecord({ ...PARTS, extras: rest }))).toMatchObject({ ok: true })
      }),
    )
  })

  test('is cut where it nests too deeply', () => {
    const nested = (depth: number): unknown => (depth === 0 ? 1 : { a: nested(depth - 1) })
    expect(check(buildRecord({ ...PARTS, extras: { deep: nested(1_000) } }))).toMatchObject({ ok: true })
  })
})

describe('the runner of producers', () => {
  const bench = useDispatch()
  const logged: LogFields[] = []
  const log = createLog({ sink: (level, line) => logged.push({ level, ...line }), level: 'info', secrets: [] })
  const request = { target: TARGET, context: { namespace: 'test', runId: 'r' } }
  const run = async (...producers: readonly MetadataProducer[]) => {
    await bench.clear()
    logged.length = 0
    const { db, kinds } = bench.source
    const repository = openPostgresRepository({ store: { db, kinds, names: createNameBook() }, environment: OURS })
    return createProducerRunner({ producers, repository, log }).run(request)
  }
  const good: MetadataProducer = { producerId: 'test.v1', produce: async (asked) => [volume(0, asked)] }
  const failing: MetadataProducer = { producerId: 'failing.v1', produce: () => Promise.reject(new Error('no')) }
  const invalid: MetadataProducer = {
    producerId: 'invalid.v1',
    produce: async (asked) => [volume(0, { ...asked, producerId: 'invalid.v1', kind: 'other' })],
  }
  const foreign: MetadataProducer = { producerId: 'foreign.v1', produce: async (asked) => [volume(0, asked)] }

  test('stores what producers say about the target', async () => {
    expect(await run(good)).toMatchObject([{ producerId: 'test.v1', error: null, results: [{ outcome: 'stored' }] }])
  })

  test.each([
    ['throws', failing, 'no'],
    [
      'says what cannot be stored',
      invalid,
      'producer invalid.v1: expected its records to be stored, got 1 refused: kind: ',
    ],
    ['speaks for another', foreign, 'producer foreign.v1: expected records of its own, got one of test.v1'],
  ])('a producer that %s fails nobody else, and is told of', async (_what, producer, message) => {
    const produced = await run(producer, good)
    expect(produced[0]?.error?.message).toContain(message)
    expect(produced[1]).toMatchObject({ error: null, results: [{ outcome: 'stored' }] })
    expect(logged).toMatchObject([{ event: 'metadata_producer_failed', producer: producer.producerId }])
  })

  test('a strict producer that fails fails the load, once all have run', async () => {
    await expect(run({ ...failing, strict: true }, good)).rejects.toThrow('no')
    expect((await bench.state()).records).toHaveLength(1)
  })
})
