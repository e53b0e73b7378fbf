import { BlobServiceClient } from '@azure/storage-blob'
import { QueueServiceClient } from '@azure/storage-queue'
import pg from 'pg'
import type { LakeServices } from './random-schedules-lake.ts'

// In one statement, so that references are checked at its end.
const TABLES = [
  'ingest.stream',
  'ingest.rate_budget',
  'provenance.source_ingest',
  'provenance.raw_page',
  'provenance.reject',
  'curated.partition',
  'curated.partition_ingest',
  'ops.alert',
  'ops.audit',
  'ops.pipeline_runs',
  'metadata.outbox',
  'metadata.reject',
  'metadata.record',
  'metadata.record_key',
  'metadata.latest',
  'metadata.link',
  'metadata.rollup',
  'metadata.consumer',
]

/** Takes a database and an account back to their beginning: to make new ones for each schedule fills the disk. */
export async function clearLake({ databaseUrl, storageConnectionString }: LakeServices): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    await client.query(`with ${TABLES.map((table, index) => `d${index} as (delete from ${table})`).join(', ')} select`)
  } finally {
    await client.end()
  }
  const blobs = BlobServiceClient.fromConnectionString(storageConnectionString)
  const queues = QueueServiceClient.fromConnectionString(storageConnectionString)
  await Promise.all([
    ...['raw', 'curated', 'metadata'].map((container) => blobs.deleteContainer(container)),
    ...['land', 'curate', 'metadata'].map((queue) => queues.getQueueClient(queue).clearMessages()),
  ])
}
