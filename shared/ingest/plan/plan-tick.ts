import { readFile } from 'node:fs/promises'
import { ConfigError, toError } from '../../errors.ts'
import { closeAlert, openAlert } from '../../ops/alerts.ts'
import { withPipelineRun } from '../../ops/pipeline-run.ts'
import type { Platform } from '../../platform.ts'
import { sendHints } from '../hints.ts'
import { readExpectations } from './expectations.ts'
import { type PlanResult, planWindows } from './plan.ts'
import { parseStreamFile } from './stream-file.ts'
import { applyStreams } from './streams.ts'

/**
 * One tick of the planner: applies the streams file, plans what is missing, tells the queue. A file that is wrong is
 * applied not at all; the streams there are go on, and the run fails with every problem of the file.
 */
export async function planTick(platform: Platform): Promise<PlanResult> {
  return withPipelineRun(platform, 'plan-ingests', async ({ runId, log }) => {
    const problem = await applyStreamFile(platform)
    // Before any stream is locked: the repository may be anywhere.
    const expectations = await readExpectations(platform)
    const run = { initiatedBy: 'plan-ingests', pipelineRunId: runId, expectations }
    const result = await planWindows(platform.db, run)
    await sendHints(
      platform,
      result.planned.map((sourceIngestId) => ({ sourceIngestId, queue: 'land' as const })),
    )
    log.info('planned', {
      streams: result.streams,
      windows: result.planned.length,
      widened: result.widened,
      held_back: expectations.heldBack.length,
    })
    if (problem !== undefined) throw problem
    return result
  })
}

async function applyStreamFile({ db, sources, settings, log }: Platform): Promise<ConfigError | undefined> {
  const path = settings.streamsFile
  try {
    const text = await readFile(path, 'utf8').catch((error) => {
      throw new ConfigError([`streams file: expected to read ${path}, got ${toError(error).message}`])
    })
    const { written, paused } = await applyStreams(db, parseStreamFile(text, sources))
    if (written > 0 || paused > 0) log.info('streams_applied', { written, paused })
    await closeAlert(db, 'streams_file', path)
    return undefined
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    await openAlert(db, {
      kind: 'streams_file',
      severity: 'critical',
      subject: path,
      detail: { problems: error.problems },
    })
    return error
  }
}
