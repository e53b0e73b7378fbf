import { gunzipSync } from 'node:zlib'
import { v7 as uuidv7 } from 'uuid'
import { decodePartition } from '../../shared/curated/parquet-reader.ts'
import { bars } from '../../shared/datasets/bars.ts'
import type { Dataset } from '../../shared/datasets/contract.ts'
import { columnOf } from '../../shared/datasets/row-batch.ts'
import type { HttpClientSettings } from '../../shared/http/client.ts'
import { lakeState, readLake } from '../support/lake-state.ts'
import type { Workbench } from '../support/workbench.ts'

/** Three tries without long waits between them. */
export const QUICK: Omit<HttpClientSettings, 'hook'> = { timeoutMs: 5_000, triesMax: 3, backoffBaseMs: 1 }

/** What every state has beside its name: counts, attempts and errors that are not nothing. */
export type IngestFacts = { readonly state: string } & Readonly<Record<string, unknown>>

/**
 * Every ingest in the order of its window and its planning. What is zero or nothing is left out, and `…` stands for
 * its id in its error.
 */
export async function ingestsOf(bench: Workbench): Promise<readonly IngestFacts[]> {
  const rows = await bench.query<{ facts: IngestFacts }>(
    `select jsonb_strip_nulls(jsonb_build_object('state', state, 'lane', nullif(lane, 'live'), 'epoch', epoch,
              'attempts', nullif(attempts, 0),
              'error', error_class || ': ' || replace(error_summary, source_ingest_id::text, '…'), 'records', records,
              'inserted', nullif(inserted, 0), 'updated', nullif(updated, 0), 'unchanged', nullif(unchanged, 0),
              'superseded', nullif(superseded, 0), 'rejected', nullif(rejected, 0), 'outside', nullif(outside, 0))) as facts
       from provenance.source_ingest
      order by lo, planned_at, source_ingest_id`,
  )
  return rows.map(({ facts }) => facts)
}

/** Content of every curated file, checked against the bytes in the lake; throws where a key is there twice. */
export async function contentOf(bench: Workbench) {
  const lake = await readLake(bench.platform)
  if (lake.duplicateKeys > 0 || lake.wrongHashes.length > 0) {
    throw new Error(`lake: expected each key once and known hashes, got ${JSON.stringify(lake)}`)
  }
  const { partitions, fetched, published } = await lakeState(bench.platform)
  return { partitions, fetched, published }
}

/** Values of one column of all curated files, in the order of paths and keys. */
export async function curatedColumn(bench: Workbench, name: string, dataset: Dataset = bars): Promise<unknown[]> {
  const values: unknown[] = []
  for await (const { path } of bench.platform.curated.list(`dataset=${dataset.name}/`)) {
    const blob = await bench.platform.curated.get(path)
    if (blob !== null) values.push(...columnOf(decodePartition({ dataset, bytes: blob.body }).rows, name))
  }
  return values
}

export type RawBlob = {
  readonly path: string
  readonly body: string
  readonly metadata: Readonly<Record<string, string>>
}

/** Every raw page with what it holds, by epoch and page. */
export async function rawBlobs(bench: Workbench): Promise<readonly RawBlob[]> {
  const blobs: RawBlob[] = []
  for await (const { path } of bench.platform.raw.list('')) {
    const blob = await bench.platform.raw.get(path)
    if (blob !== null) blobs.push({ path, body: gunzipSync(blob.body).toString(), metadata: blob.metadata })
  }
  const order = ({ metadata: { epoch, pageno } }: RawBlob) => Number(epoch) * 1_000 + Number(pageno)
  return blobs.sort((a, b) => order(a) - order(b))
}

/** Plans one window as the lookback would, and takes it through land and curate. */
export async function readAgain(bench: Workbench, lo: string, hi: string): Promise<void> {
  const sourceIngestId = uuidv7()
  await bench.query(
    `insert into provenance.source_ingest (source_ingest_id, stream_id, lane, lo, hi, parameters, initiated_by)
     select $1::uuid, stream_id, 'lookback', $2::timestamptz, $3::timestamptz, params, 'test' from ingest.stream`,
    [sourceIngestId, lo, hi],
  )
  await bench.land({ v: 1, sourceIngestId })
  await bench.drain()
}

/** What was to be waited for is over: the next attempt of every ingest, and the pause that the provider asked for. */
export async function passTime(bench: Workbench): Promise<void> {
  await bench.query('update ingest.rate_budget set blocked_until = now(), tokens = capacity')
  await bench.query('update provenance.source_ingest set next_attempt_at = null where next_attempt_at is not null')
}

/** Open alerts as `kind subject`. */
export async function openAlerts(bench: Workbench): Promise<readonly string[]> {
  const rows = await bench.query<{ alert: string }>(
    `select kind || ' ' || subject as alert from ops.alert where closed_at is null order by 1`,
  )
  return rows.map(({ alert }) => alert)
}

/** Status of every answer so far; null where the provider gave none. */
export function statusesOf({ simulator }: Workbench): readonly (number | null)[] {
  return simulator.requests.map(({ status }) => status)
}
