import { v7 as uuidv7 } from 'uuid'
import { errorSummary } from '../error-summary.ts'
import { toError } from '../errors.ts'
import type { Log } from '../log/log.ts'
import type { Platform } from '../platform.ts'
import type { Statement } from '../postgres/database.ts'

const BEGIN_RUN: Statement = {
  name: 'begin_pipeline_run',
  text: `insert into ops.pipeline_runs (run_id, job) values ($1::uuid, $2::text)`,
}

const END_RUN: Statement = {
  name: 'end_pipeline_run',
  text: `
update ops.pipeline_runs set finished_at = now(), status = $2::text, error_summary = $3::text
 where run_id = $1::uuid`,
}

export type PipelineRun = { readonly runId: string; readonly log: Log }

/** One execution of a timer or job, from its row to its end; a failure is recorded and thrown on. */
export async function withPipelineRun<T>(
  { db, log, settings }: Pick<Platform, 'db' | 'log' | 'settings'>,
  job: string,
  work: (run: PipelineRun) => Promise<T>,
): Promise<T> {
  const runId = uuidv7()
  const runLog = log.with({ run_id: runId, job })
  const startedMs = performance.now()
  await db.query(BEGIN_RUN, [runId, job])
  try {
    const result = await work({ runId, log: runLog })
    await db.query(END_RUN, [runId, 'success', null])
    runLog.info('run_finished', { status: 'success', duration_ms: Math.round(performance.now() - startedMs) })
    return result
  } catch (thrown) {
    const error = toError(thrown)
    runLog.error('run_finished', { status: 'failure', duration_ms: Math.round(performance.now() - startedMs), error })
    await db.query(END_RUN, [runId, 'failure', errorSummary(error, settings.secrets)])
    throw error
  }
}
