import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { openContainer } from '../../shared/azure/blobs.ts'
import { openTable } from '../../shared/azure/tables.ts'
import { LATEST_TABLE } from '../../shared/config/storage-names.ts'
import { systemNow } from '../../shared/instant.ts'
import { withoutHook } from '../../shared/io-hook.ts'
import { createToken } from '../../shared/metadata/access/tokens.ts'
import { moveMetadata } from '../../shared/metadata/move.ts'
import { openMetadataService } from '../../shared/metadata/service/open-service.ts'
import { openDatabase } from '../../shared/postgres/database.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { openWorkbench } from '../support/workbench.ts'
import { serveRoutes } from './service-host.ts'

const stop = new AbortController().signal
const SERIES = { target: { sourceId: 'alpaca', schema: 'bars', table: 'SPX/1d' }, kind: 'ingestion_volume' }

describe('METADATA_REPOSITORY', () => {
  const environment = useTestEnvironment()

  /** The service of a deployment that has metadata and nothing else: no lake, no queue, no provider, no ingests. */
  const serveAlone = async () => {
    const url = await environment.newDatabase()
    const opened = openMetadataService({ METADATA_DATABASE_URL: url }, () => undefined)
    const served = await serveRoutes(opened.service)
    const connection = { kind: 'url', url } as const
    const db = openDatabase({ connection, connectionsMax: 1, applicationName: 'test' }, withoutHook)
    const grant = { permissions: ['records:read', 'records:write:*'], producers: ['ingestion.v1'] }
    const expiresAt = systemNow() + 3_600_000_000n
    const { token } = await createToken(db, { tenant: 'default', createdBy: 'test', expiresAt, ...grant }, 'live')
    onTestFinished(async () => {
      await served.close()
      await opened.close()
      await db.close()
    })
    return { METADATA_URL: served.url, METADATA_TOKEN: token }
  }
  const folder = async () => {
    const dir = await mkdtemp(join(tmpdir(), 'tributary-metadata-'))
    onTestFinished(() => rm(dir, { recursive: true }))
    return dir
  }

  test.each<[string, () => Promise<Readonly<Record<string, string>>>]>([
    ['the database of the ingests', async () => ({})],
    ['a database of its own', async () => ({ METADATA_DATABASE_URL: await environment.newDatabase() })],
    ['a folder', async () => ({ METADATA_REPOSITORY: 'embedded', METADATA_DIR: await folder() })],
    ['a container', async () => ({ METADATA_REPOSITORY: 'embedded' })],
    ['the service of another deployment', async () => ({ METADATA_REPOSITORY: 'remote', ...(await serveAlone()) })],
  ])('what ingests tell is found in %s, and no producer knows the difference', async (_where, settings) => {
    const storageConnectionString = environment.newStorageAccount()
    const databaseUrl = await environment.newDatabase()
    const bench = await openWorkbench({ databaseUrl, storageConnectionString, env: await settings() })
    onTestFinished(() => bench.close())
    const account = bench.platform.settings.lakeStorage
    await openContainer({ account, container: 'metadata', hook: withoutHook }).ensure()
    await openTable({ account, table: LATEST_TABLE }).ensure()
    await bench.settle()
    expect(await moveMetadata(bench.platform, stop)).toMatchObject({ stored: 2, rejected: 0, postponed: 0 })
    const repository = await bench.platform.metadata.repository()
    expect((await repository.latest(SERIES))?.record.payload).toMatchObject({ records: 500, inserted: 500 })
    // Nothing is left to be moved, and nothing is told twice.
    expect(await moveMetadata(bench.platform, stop)).toMatchObject({ stored: 0, replayed: 0 })
    expect((await repository.history(SERIES)).records).toHaveLength(1)
  })
})
