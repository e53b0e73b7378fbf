import { describe, expect, test } from 'vitest'
import { TransientError } from '../../shared/errors.ts'
import type { EmbeddedFiles, WriterLock } from '../../shared/metadata/embedded/files.ts'
import type { EmbeddedRepository } from '../../shared/metadata/embedded/repository.ts'
import { schemaFingerprint } from '../../shared/metadata/model/kinds/schema-snapshot.ts'
import type { NewMetadataRecord } from '../../shared/metadata/model/record.ts'
import type { StoreResult } from '../../shared/metadata/model/repository.ts'
import { type Folder, openEmbedded, useFolders } from './embedded-bench.ts'
import { counted, TARGET, volume } from './fact.ts'

/**
 * before: it does not happen and throws · after: it happens and throws · dead: it happens, and from then on nothing
 * does · torn: half of it happens, and from then on nothing does
 */
const FAULTS = ['before', 'after', 'dead', 'torn'] as const
type Fault = { readonly kind: (typeof FAULTS)[number]; readonly at: number }

const columns = [{ name: 'close', type: 'float8' }]
const first = volume(0, { payload: counted(1) })
const snapshot: NewMetadataRecord = {
  ...volume(0, { context: { namespace: 'catalog', runId: 'scan' } }),
  kind: 'schema_snapshot',
  payload: { place: 'parquet', fingerprint: schemaFingerprint(columns), columns },
}

/** New ones, a replay, a correction, a conflict, a gap: enough for a second segment and several indexes. */
const BATCHES: readonly (readonly NewMetadataRecord[])[] = [
  [first, volume(3)],
  [first, { ...first, revision: 1, payload: counted(2) }, { ...first, payload: counted(9) }, snapshot],
  [{ ...volume(7), revision: 4 }, volume(1)],
  [{ ...first, payload: counted(8) }],
]

function faulty(files: EmbeddedFiles, fault?: Fault) {
  /** Whether they can happen in half. */
  const operations: boolean[] = []
  let dead = false
  let held: WriterLock | undefined
  const failure = () => new TransientError('injected fault')
  const pass = async <T>(run: () => Promise<T>, half?: () => Promise<unknown>): Promise<T> => {
    if (dead) throw failure()
    const mine = operations.push(half !== undefined) - 1
    if (mine !== fault?.at) return run()
    if (fault.kind === 'before') throw failure()
    if (fault.kind === 'torn' && half !== undefined) {
      dead = true
      await half()
      throw failure()
    }
    const result = await run()
    if (fault.kind === 'after') throw failure()
    dead = true
    return result
  }
  const halfOf = (body: Uint8Array) => body.subarray(0, body.byteLength / 2)
  const through: EmbeddedFiles = {
    place: files.place,
    lock: (path) =>
      pass(async () => {
        const lock = await files.lock(path)
        held = lock
        return { hold: () => pass(() => lock.hold()), release: () => pass(() => lock.release()) }
      }),
    append: (path, body, position) =>
      pass(
        () => files.append(path, body, position),
        () => files.append(path, halfOf(body), position),
      ),
    cut: (path, bytes) => pass(() => files.cut(path, bytes)),
    create: (path, body) =>
      pass(
        () => files.create(path, body),
        () => files.create(path, halfOf(body)),
      ),
    replace: (path, body) => pass(() => files.replace(path, body)),
    read: (path, from) => pass(() => files.read(path, from)),
    list: (path) => pass(() => files.list(path)),
  }
  /** The process is gone: its lock is nobody's. */
  const bury = async () => held?.release()
  return { files: through, bury, operations }
}

async function storeAll(
  repository: EmbeddedRepository,
  told: Map<NewMetadataRecord, StoreResult>,
  batches: readonly (readonly NewMetadataRecord[])[] = BATCHES,
): Promise<void> {
  for (const batch of batches) {
    // Who is not answered asks again.
    const results = await repository.bulkStore(batch).catch(() => repository.bulkStore(batch))
    for (const [place, record] of batch.entries()) told.set(record, results[place] as StoreResult)
  }
}

/** All there is, without what a crash may change: ids and the time of storing. */
async function stateOf(repository: EmbeddedRepository, folder: Folder) {
  const { records } = await repository.query({}, { limit: 500 })
  const latest = await repository.latest({ target: TARGET, kind: 'ingestion_volume' })
  const cells = await repository.aggregate({
    kind: 'ingestion_volume',
    grain: 'day',
    from: '2024-01-01',
    to: '2025-01-01',
  })
  const files = (await folder.list()).filter(
    (path) => !path.startsWith('log/') && path !== 'index.json' && path !== 'lock',
  )
  const rejects = (await folder.text('rejects.jsonl').catch(() => '')).split('\n').slice(0, -1)
  return {
    records,
    state: {
      records: records.map(({ recordId: _, storedAt: __, ...record }) => record),
      latest: [latest?.record.payload.records, latest?.changeNo],
      cells,
      files,
      rejects: rejects
        .map((line) => JSON.parse(line))
        .map(({ code, record }) => [code, JSON.parse(record).payload.records]),
    },
  }
}

describe('a crash at any file operation', () => {
  const newFolder = useFolders()

  /** One process with a fault, then another one without. */
  const run = async (fault?: Fault) => {
    const folder = await newFolder()
    const io = faulty(folder.files, fault)
    const told = new Map<NewMetadataRecord, StoreResult>()
    const crashed = await openEmbedded(io.files)
      .then(async (repository) => {
        await storeAll(repository, told)
        await repository.close()
      })
      .then(() => false)
      .catch(() => true)
    await io.bury()
    const acknowledged = new Map(told)
    const again = await openEmbedded(folder.files)
    if (crashed) await storeAll(again, told)
    const found = await stateOf(again, folder)
    await again.close()
    return { ...found, acknowledged, told, operations: io.operations }
  }

  test('what was acknowledged is there once; what was not is there at most once, and a repetition leads to the same state', async () => {
    const clean = await run()
    expect(clean.state.records).toHaveLength(5)
    expect(clean.state.rejects).toEqual([
      ['idempotency-conflict', 9],
      ['idempotency-conflict', 8],
    ])
    expect(clean.operations.length).toBeGreaterThan(20)
    const differences: string[] = []
    for (const [at, halves] of clean.operations.entries()) {
      for (const kind of FAULTS) {
        if (kind === 'torn' && !halves) continue
        const { state, records, acknowledged, told } = await run({ kind, at })
        if (JSON.stringify(state) !== JSON.stringify(clean.state))
          differences.push(`${kind} ${at}: ${JSON.stringify(state)}`)
        const ids = new Set(records.map(({ recordId }) => recordId))
        for (const [record, result] of [...acknowledged, ...told]) {
          if (result.outcome === 'refused' || ids.has(result.recordId)) continue
          differences.push(
            `${kind} ${at}: ${record.context.runId} was acknowledged as ${result.recordId}, which is gone`,
          )
        }
      }
    }
    expect(differences).toEqual([])
  }, 120_000)
})
