import { DATASETS } from '../../datasets/registry.ts'
import type { Platform } from '../../platform.ts'
import { instantText } from '../model/instant-text.ts'
import type { StatisticsSnapshot } from '../model/kinds/statistics-snapshot.ts'
import { type Collected, type CollectOptions, collectTargets } from './catalog/collect-targets.ts'
import type { CatalogFinding, CatalogTarget } from './catalog/finding.ts'
import { parquetColumns } from './catalog/parquet-columns.ts'
import { readParquetFooter } from './catalog/parquet-footer.ts'
import { type CuratedStream, curatedStreams } from './catalog/streams.ts'

export type CatalogPlatform = Pick<Platform, 'db' | 'curated' | 'sources' | 'log'>

/**
 * Tells the schema of every stream's curated files, what they hold, and how the schema changed: on change and daily. Of a
 * stream's files the newest is opened, and of that one only the footer is read.
 */
export function collectCatalog(platform: CatalogPlatform, options: CollectOptions): Promise<Collected> {
  return collectTargets(curatedTargets(platform), platform.log, options)
}

async function* curatedTargets(platform: CatalogPlatform): AsyncGenerator<CatalogTarget> {
  for await (const stream of curatedStreams(platform.db)) {
    yield {
      target: { sourceId: stream.source, schema: stream.dataset, table: stream.table },
      jobId: 'catalog-parquet',
      find: () => findCurated(platform, stream),
    }
  }
}

async function findCurated({ curated, sources }: CatalogPlatform, stream: CuratedStream): Promise<CatalogFinding> {
  const { path, etag, fileBytes, contractVersion, transformVersion } = stream
  const own = sources.get(stream.source)?.dataset
  const dataset = own?.name === stream.dataset ? own : DATASETS.get(stream.dataset)
  const { schema } = await readParquetFooter(curated, path, fileBytes)
  return {
    place: 'parquet',
    columns: parquetColumns(schema, dataset?.key ?? []),
    extras: { path, etag, contractVersion, transformVersion },
    statistics: { payload: heldBy(stream, dataset?.eventTime), quality: 'live' },
  }
}

function heldBy({ rows, bytes, files, minTs, maxTs }: CuratedStream, eventTime?: string): StatisticsSnapshot {
  const held = { rows, bytes, files }
  if (eventTime === undefined || minTs === null || maxTs === null) return held
  return { ...held, columns: [{ name: eventTime, min: instantText(minTs), max: instantText(maxTs) }] }
}
