import { z } from 'zod'
import { partitionOf, type StreamPlace } from '../../curated/partition-path.ts'
import type { Dataset } from '../../datasets/contract.ts'
import { ConfigError } from '../../errors.ts'
import { type Instant, instantOfDate, parseDate } from '../../instant.ts'
import type { Platform } from '../../platform.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import type { BoundSource } from '../../sources/contract.ts'
import type { SelectedStream } from '../plan/select-streams.ts'

/** A stream whose partitions are made again, with what makes their rows today. */
export type ReprocessTarget = {
  readonly stream: SelectedStream
  readonly dataset: Dataset
  readonly bound: BoundSource
  readonly transformVersion: number
  readonly place: StreamPlace
}

/** Throws ConfigError where this process does not know the stream's source, or the source not its parameters. */
export function targetOf({ sources }: Pick<Platform, 'sources'>, stream: SelectedStream): ReprocessTarget {
  const source = sources.get(stream.source)
  if (source === undefined) {
    const known = [...sources.keys()].join(', ')
    throw new ConfigError([`stream ${stream.name}: expected one of the sources ${known}, got ${stream.source}`])
  }
  const { dataset, transformVersion } = source
  const place = { ...stream, timeframe: stream.timeframe ?? undefined }
  try {
    return { stream, dataset, bound: source.bind(stream.params), transformVersion, place }
  } catch (error) {
    if (!(error instanceof z.ZodError)) throw error
    const problems = error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ')
    throw new ConfigError([`stream ${stream.name}: expected parameters of ${source.id}, got others (${problems})`])
  }
}

export type PartitionsToReprocess = {
  /** Partitions that hold time of `[lo, hi)`; null: without that end. */
  readonly lo: Instant | null
  readonly hi: Instant | null
  /** Only what an older transform made. */
  readonly outdated: boolean
}

const PUBLISHED: Statement = {
  name: 'partitions_to_reprocess',
  text: `
select partition_key as "partitionKey"
  from curated.partition
 where stream_id = $1::bigint and ($2::int is null or transform_version < $2::int)
 order by path collate "C"`,
}

/** Keys of the published partitions of a stream that are meant, in path order. */
export async function selectPartitionKeys(
  db: Queryable,
  { stream, dataset, place, transformVersion }: ReprocessTarget,
  { lo, hi, outdated }: PartitionsToReprocess,
): Promise<readonly string[]> {
  const rows = await db.query<{ partitionKey: string }>(PUBLISHED, [
    stream.streamId,
    outdated ? transformVersion : null,
  ])
  const keys = rows.map(({ partitionKey }) => partitionKey)
  if (lo === null && hi === null) return keys
  return keys.filter((key) => {
    const held = periodOf(dataset, place, key)
    return (hi === null || held.lo < hi) && (lo === null || lo < held.hi)
  })
}

/** The time that a partition holds, of its key: an empty file has no rows to tell it by. */
function periodOf(dataset: Dataset, place: StreamPlace, partitionKey: string) {
  const [, year = '', month = '01'] = /\/year=(\d{4})(?:\/month=(\d\d))?\//.exec(partitionKey) ?? []
  const day = parseDate(`${year}-${month}-01`)
  const partition = day === undefined ? undefined : partitionOf(dataset, place, instantOfDate(day))
  if (partition?.partitionKey === partitionKey) return partition
  throw new ConfigError([`partition ${partitionKey}: expected a key of ${dataset.name} with its year, got another`])
}
