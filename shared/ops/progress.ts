import { z } from 'zod'
import type { Table } from '../azure/tables.ts'
import { toError } from '../errors.ts'
import type { Log } from '../log/log.ts'

/** The table that says how a backfill goes: a partition per backfill, a row per worker. Watched in the portal, too. */

const HEARTBEAT_MS = 5_000
/** A worker that was not heard of for this long is gone, or its storage is, ms. */
export const SILENT_AFTER_MS = 20_000
/** How long the last row may take: the end of the work does not wait for a storage that is gone. */
const LAST_ROW_MS_MAX = 3_000
const WORKERS_SHOWN_MAX = 200

/** What one worker has done since it started. */
export type WorkerCounts = {
  readonly windows: number
  readonly failed: number
  readonly rows: number
  readonly calls: number
  readonly bytes: number
}

export type Heart = {
  /** Stops beating and writes the last row. */
  readonly stop: (state: string) => Promise<void>
}

export type HeartOptions = {
  readonly table: Table
  readonly log: Log
  readonly backfillId: string
  readonly worker: string
  readonly counts: () => Promise<WorkerCounts>
}

/** Writes the worker's row every five seconds. What fails here is logged once and never fails the work. */
export function startHeart({ table, log, backfillId, worker, counts }: HeartOptions): Heart {
  const startedAt = new Date()
  let silent = false
  const beat = async (state: string) => {
    try {
      const { windows, failed, rows, calls, bytes } = await counts()
      await table.replace({
        partitionKey: backfillId,
        rowKey: worker,
        values: {
          state,
          windows: BigInt(windows),
          failed: BigInt(failed),
          rows: BigInt(rows),
          calls: BigInt(calls),
          bytes: BigInt(bytes),
          maxRssBytes: BigInt(process.resourceUsage().maxRSS * 1024),
          startedAt,
          heartbeatAt: new Date(),
        },
      })
      silent = false
    } catch (error) {
      if (!silent) log.warn('progress_not_written', { backfill_id: backfillId, error: toError(error) })
      silent = true
    }
  }
  let underWay = true
  const begin = () =>
    beat('running').finally(() => {
      underWay = false
    })
  let beating = begin()
  const timer = setInterval(() => {
    // A row that takes longer than a beat is never overtaken by the next.
    if (underWay) return
    underWay = true
    beating = begin()
  }, HEARTBEAT_MS).unref()
  return {
    async stop(state) {
      clearInterval(timer)
      let timeout: NodeJS.Timeout | undefined
      const given = new Promise<void>((resolve) => {
        timeout = setTimeout(resolve, LAST_ROW_MS_MAX)
      })
      await Promise.race([beating.then(() => beat(state)), given])
      clearTimeout(timeout)
    },
  }
}

const count = z.union([z.bigint(), z.number()]).transform(Number)
const row = z.object({
  state: z.string(),
  windows: count,
  failed: count,
  rows: count,
  calls: count,
  bytes: count,
  maxRssBytes: count,
  startedAt: z.date(),
  heartbeatAt: z.date(),
})

export type WorkerProgress = Omit<z.infer<typeof row>, 'startedAt' | 'heartbeatAt'> & {
  readonly worker: string
  readonly startedAt: string
  readonly heartbeatAt: string
}

/** The workers of a backfill as they were last heard of. Rows that are none of ours are left out. */
export async function readWorkers(table: Table, backfillId: string): Promise<readonly WorkerProgress[]> {
  const workers: WorkerProgress[] = []
  for (const { rowKey, values } of await table.rows(backfillId, WORKERS_SHOWN_MAX)) {
    const parsed = row.safeParse(values)
    if (!parsed.success) continue
    const { startedAt, heartbeatAt, ...counts } = parsed.data
    workers.push({
      worker: rowKey,
      ...counts,
      startedAt: startedAt.toISOString(),
      heartbeatAt: heartbeatAt.toISOString(),
    })
  }
  return workers
}
