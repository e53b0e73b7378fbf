import { mergeAll } from '../../shared/curated/merge.ts'
import { encode } from '../../shared/curated/partition-file.ts'
import { splitByPartition } from '../../shared/curated/partition-path.ts'
import type { RowBatch } from '../../shared/datasets/row-batch.ts'
import { parsePages } from '../../shared/ingest/parse-pages.ts'
import { listedIngests } from '../../shared/ingest/partition-listing.ts'
import type { Platform } from '../../shared/platform.ts'

type Partition = {
  readonly dataset: string
  readonly partitionKey: string
  readonly path: string
  readonly sha256: string
  readonly source: string
  readonly subject: string
  readonly timeframe: string | null
  readonly params: unknown
}

/** Paths of published files whose bytes are not exactly what the raw pages of their ingests make (L1). */
export async function filesUnlikeTheirRaw(platform: Platform): Promise<readonly string[]> {
  const { db, raw, sources } = platform
  const partitions = await db.query<Partition>({
    name: 'partitions to rebuild',
    text: `select p.dataset, p.partition_key as "partitionKey", p.path, p.sha256, s.source, s.subject, s.timeframe, s.params
             from curated.partition p join ingest.stream s using (stream_id) order by p.path`,
  })
  const unlike: string[] = []
  for (const partition of partitions) {
    const source = sources.get(partition.source)
    if (source === undefined) throw new Error(`partition ${partition.path}: expected a known source`)
    const { dataset, transformVersion } = source
    const place = { ...partition, timeframe: partition.timeframe ?? undefined }
    const batches: RowBatch[] = []
    for (const { lo, hi, pages } of await listedIngests(db, partition.dataset, partition.partitionKey)) {
      const window = lo === null || hi === null ? null : { lo, hi }
      const { signal } = new AbortController()
      const parsed = await parsePages({ raw, dataset, bound: source.bind(partition.params), pages, window, signal })
      const mine = splitByPartition(dataset, place, parsed.rows).find(({ path }) => path === partition.path)
      if (mine !== undefined) batches.push(mine.rows)
    }
    if (encode(dataset, mergeAll(dataset, batches), transformVersion).sha256 !== partition.sha256)
      unlike.push(partition.path)
  }
  return unlike
}
