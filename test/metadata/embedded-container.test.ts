import { BlobServiceClient } from '@azure/storage-blob'
import { beforeAll, describe, expect, test } from 'vitest'
import { openBlobLeases } from '../../shared/azure/blob-lease.ts'
import { openContainer } from '../../shared/azure/blobs.ts'
import { type IoHook, withoutHook } from '../../shared/io-hook.ts'
import { containerFiles } from '../../shared/metadata/embedded/container-files.ts'
import type { EmbeddedRepository } from '../../shared/metadata/embedded/repository.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { createFaultyIo, FAULTS } from '../support/faulty-io.ts'
import { EMBEDDED_TENANT, openEmbedded } from './embedded-bench.ts'
import { counted, TARGET, volume } from './fact.ts'

const LEASE_LOST = { name: 'LeaseLostError' }

describe('an embedded repository in a blob container', () => {
  const environment = useTestEnvironment()
  let folders = 0
  const newPrefix = () => `case-${++folders}/`
  const placeOf = (hook: IoHook) =>
    ({
      account: { kind: 'connection-string', connectionString: environment.storageConnectionString },
      container: 'metadata',
      hook,
    }) as const
  const files = (prefix: string, { hook = withoutHook, renewAfterMs = 0 } = {}) => {
    const place = placeOf(hook)
    const leases = openBlobLeases(place)
    return containerFiles({ container: openContainer(place), leases, name: 'metadata', prefix, renewAfterMs })
  }
  beforeAll(() => openContainer(placeOf(withoutHook)).ensure())

  /** As if it had run out. */
  const breakLease = async (prefix: string) => {
    const service = BlobServiceClient.fromConnectionString(environment.storageConnectionString)
    const blob = service.getContainerClient('metadata').getBlobClient(`${prefix}${EMBEDDED_TENANT}/lock`)
    await blob.getBlobLeaseClient().breakLease(0)
  }
  const daysIn = async (repository: EmbeddedRepository) => {
    const { records } = await repository.history({ target: TARGET, kind: 'ingestion_volume' })
    return records.map(({ payload }) => payload.records)
  }
  const day = (number: number) => volume(number, { payload: counted(number) })

  test('a second writer is refused until the first is closed', async () => {
    const prefix = newPrefix()
    const first = await openEmbedded(files(prefix))
    await expect(openEmbedded(files(prefix))).rejects.toMatchObject({
      ...LEASE_LOST,
      message: `metadata/${prefix}ours/lock: expected to be the only writer, got a lease of another`,
    })
    await first.store(day(1))
    await first.close()
    const second = await openEmbedded(files(prefix))
    expect(await daysIn(second)).toEqual([1])
    await second.close()
  })

  test('who was displaced writes nothing', async () => {
    const prefix = newPrefix()
    const displaced = await openEmbedded(files(prefix))
    await breakLease(prefix)
    const writer = await openEmbedded(files(prefix))
    await expect(displaced.store(day(1))).rejects.toMatchObject(LEASE_LOST)
    expect(await writer.store(day(1))).toMatchObject({ outcome: 'stored' })
    await displaced.close()
    await writer.close()
  })

  test('two that both believe to be the writer store nothing twice, and learn what the other stored', async () => {
    const prefix = newPrefix()
    const unaware = { renewAfterMs: 60_000 }
    const one = await openEmbedded(files(prefix, unaware))
    await breakLease(prefix)
    const other = await openEmbedded(files(prefix, unaware))
    const stored = await one.store(day(1))
    expect(await other.store(day(1))).toEqual({ ...stored, outcome: 'replayed' })
    expect(await other.store(day(2))).toMatchObject({ outcome: 'stored' })
    expect(await one.store({ ...day(2), payload: counted(9) })).toMatchObject({
      outcome: 'refused',
      problem: { code: 'idempotency-conflict' },
    })
    expect(await daysIn(one)).toEqual([2, 1])
    await breakLease(prefix)
    const after = await openEmbedded(files(prefix))
    expect(await daysIn(after)).toEqual([2, 1])
    await after.close()
  })

  test.each(FAULTS)('an append that fails (%s) is stored once, whoever repeats it', async (kind) => {
    const prefix = newPrefix()
    const io = createFaultyIo()
    const appends: IoHook = (operation, run) => (operation.action === 'append' ? io.hook(operation, run) : run())
    const crashing = await openEmbedded(files(prefix, { hook: appends }))
    await crashing.store(day(1))
    io.arm({ kind, at: 0 })
    const store = () => crashing.store(day(2)).catch(() => null)
    const told = [await store(), await store(), await store()].filter((result) => result !== null)
    const ids = told.map((result) => result.outcome !== 'refused' && result.recordId)
    expect(new Set(ids).size).toBe(Math.min(told.length, 1))
    await breakLease(prefix)
    const after = await openEmbedded(files(prefix))
    await after.bulkStore([day(2), day(3)])
    expect(await daysIn(after)).toEqual([3, 2, 1])
    await after.close()
  })
})
