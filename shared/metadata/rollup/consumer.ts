import type { BlobContainer } from '../../azure/blobs.ts'
import { CancelledError } from '../../errors.ts'
import type { Instant } from '../../instant.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import type { FeedConsumer } from '../feed/consumer.ts'
import type { KindBook } from '../model/kind-book.ts'
import { correctedPlaces } from './predecessors.ts'
import { recomputeMonth } from './recompute.ts'
import { firstMonth, type PlacedRecord, placeOf, touchedMonths } from './touched.ts'

export type RollupOptions = {
  /** The container `metadata`, with the compacted files. */
  readonly files: BlobContainer
  readonly kinds: KindBook
}

/**
 * Counts and numbers by day and month, for whoever asks about a year without reading it. A fact is in the bucket of the
 * start of its window, one without a window in that of its effective time. Cells that the page touched are computed
 * again: to see a record twice changes nothing.
 */
export function rollupConsumer({ files, kinds }: RollupOptions): FeedConsumer {
  return {
    name: 'rollup',
    async consume(records, { db, readAt, signal }) {
      const places: PlacedRecord[] = records.map(placeOf)
      for (const tenant of new Set(records.map((fed) => fed.tenant))) {
        const theirs = records.filter((fed) => fed.tenant === tenant).map(({ record }) => record)
        places.push(...(await correctedPlaces({ db, files }, tenant, theirs)))
      }
      if (places.some(({ series }) => !kinds.known().has(series.kind))) await kinds.reload()
      for (const touched of touchedMonths(places, readAt)) {
        // An error: what was read and not counted must be read again.
        if (signal.aborted) throw new CancelledError('rollups: told to stop')
        await recomputeMonth({ db, files }, touched, kinds.known().get(touched.series.kind)?.rollups ?? [])
      }
    },
  }
}

const FORGET: Statement = {
  name: 'forget_old_metadata_rollups',
  text: `delete from metadata.rollup where bucket < $1::date returning target_no`,
}

/** Deletes the cells of months that are not kept any more; returns how many there were. */
export async function forgetOldRollups(db: Queryable, now: Instant): Promise<number> {
  const { length } = await db.query(FORGET, [firstMonth(now)])
  return length
}
