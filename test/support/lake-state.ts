import { decodePartition } from '../../shared/curated/parquet-reader.ts'
import type { Dataset } from '../../shared/datasets/contract.ts'
import { DATASETS } from '../../shared/datasets/registry.ts'
import { columnOf } from '../../shared/datasets/row-batch.ts'
import type { Platform } from '../../shared/platform.ts'

/** What two runs must agree on, however they came there (L2): content, coverage, records, rejects, sums of outcomes. */
export type LakeState = {
  readonly partitions: Readonly<Record<string, { readonly contentSha256: string; readonly rows: number }>>
  readonly fetched: readonly string[]
  readonly published: readonly string[]
  readonly records: number
  readonly outcomes: number
  readonly rejects: readonly string[]
  /** Volumes, and ends by their outcome: one each, whatever happened on the way. */
  readonly told: readonly string[]
  readonly unfinished: number
}

export async function lakeState({ db }: Platform): Promise<LakeState> {
  const rows = async <Row>(name: string, text: string) => db.query<Row>({ name: `lake state ${name}`, text })
  const partitions = await rows<{ path: string; contentSha256: string; rows: number }>(
    'partitions',
    `select path, content_sha256 as "contentSha256", rows from curated.partition order by path`,
  )
  const streams = await rows<{ fetched: string; published: string }>(
    'streams',
    `select fetched::text as fetched, published::text as published from ingest.stream order by curated_root`,
  )
  const [sums] = await rows<{ records: number; outcomes: number; unfinished: number }>(
    'sums',
    `select coalesce(sum(records) filter (where state in ('published', 'empty')), 0)::bigint as records,
            coalesce(sum(inserted + updated + unchanged + superseded + rejected + outside)
                     filter (where state in ('published', 'empty')), 0)::bigint as outcomes,
            count(*) filter (where state not in ('published', 'empty', 'cancelled')) as unfinished
       from provenance.source_ingest`,
  )
  const rejects = await rows<{ reject: string }>(
    'rejects',
    `select concat_ws(' ', page_no, ordinal, code, detail, record::text) as reject from provenance.reject order by 1`,
  )
  const told = await rows<{ told: string }>(
    'told',
    `select concat_ws(' ', kind, outcome, scope, extract(epoch from lo), extract(epoch from hi), records, count(*)) as told
       from (select r ->> 'kind', r ->> 'outcome', coalesce(r ->> 'scope', ''), (r #>> '{window,start}')::timestamptz,
                    (r #>> '{window,end}')::timestamptz, r #>> '{payload,records}'
               from (select record::jsonb as r from metadata.outbox) o
              union all
             select kind, outcome, scope, window_start, window_end, body #>> '{payload,records}'
               from metadata.record where producer_id = 'ingestion.v1') t (kind, outcome, scope, lo, hi, records)
      group by kind, outcome, scope, lo, hi, records order by 1`,
  )
  return {
    partitions: Object.fromEntries(partitions.map(({ path, ...partition }) => [path, partition])),
    fetched: streams.map(({ fetched }) => fetched),
    published: streams.map(({ published }) => published),
    records: sums?.records ?? 0,
    outcomes: sums?.outcomes ?? 0,
    rejects: rejects.map(({ reject }) => reject),
    told: told.map(({ told }) => told),
    unfinished: sums?.unfinished ?? 0,
  }
}

/** What became of the records, by outcome: a retry gives the same counts. */
export async function outcomeCounts({ db }: Platform): Promise<Readonly<Record<string, number>>> {
  const [counts] = await db.query<Record<string, number>>({
    name: 'outcome counts',
    text: `select sum(inserted)::bigint as inserted, sum(updated)::bigint as updated, sum(unchanged)::bigint as unchanged,
                  sum(superseded)::bigint as superseded, sum(rejected)::bigint as rejected, sum(outside)::bigint as outside, sum(removed)::bigint as removed
             from provenance.source_ingest where state in ('published', 'empty')`,
  })
  return counts ?? {}
}

/** Every curated file as readers see it, checked against what Postgres says of it; keys are counted once per file. */
export async function readLake({
  curated,
  db,
}: Platform): Promise<{ rows: number; duplicateKeys: number; wrongHashes: string[] }> {
  const known = new Map(
    (
      await db.query<{ path: string; sha256: string }>({
        name: 'lake hashes',
        text: 'select path, sha256 from curated.partition',
      })
    ).map(({ path, sha256 }) => [path, sha256]),
  )
  let rows = 0
  let duplicateKeys = 0
  const wrongHashes: string[] = []
  for await (const { path, metadata } of curated.list('')) {
    const dataset = DATASETS.get(/^dataset=([^/]+)/.exec(path)?.[1] ?? '')
    const blob = await curated.get(path)
    if (dataset === undefined || blob === null) throw new Error(`curated file ${path}: expected a dataset's file`)
    const batch = decodePartition({ dataset, bytes: blob.body }).rows
    rows += batch.rowCount
    duplicateKeys += batch.rowCount - distinctKeys(dataset, batch)
    if (known.get(path) !== metadata.sha256) wrongHashes.push(path)
  }
  return { rows, duplicateKeys, wrongHashes }
}

function distinctKeys(dataset: Dataset, batch: ReturnType<typeof decodePartition>['rows']): number {
  const keys = dataset.key.map((name) => columnOf(batch, name))
  const seen = new Set<string>()
  for (let row = 0; row < batch.rowCount; row++) seen.add(keys.map((column) => String(column[row])).join('\u0000'))
  return seen.size
}
