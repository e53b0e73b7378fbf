import { withPipelineRun } from '../../ops/pipeline-run.ts'
import type { Platform } from '../../platform.ts'
import { sendHints } from '../hints.ts'
import { type LookbackPlan, planLookbacks } from './plan-lookback.ts'

/** One tick of the lookback: plans what is due to be read again and tells the queue. */
export async function planLookbackTick(platform: Platform): Promise<LookbackPlan> {
  return withPipelineRun(platform, 'plan-lookbacks', async ({ runId, log }) => {
    const result = await planLookbacks(platform.db, { initiatedBy: 'plan-lookbacks', pipelineRunId: runId })
    await sendHints(
      platform,
      result.planned.map((sourceIngestId) => ({ sourceIngestId, queue: 'land' as const })),
    )
    log.info('lookbacks_planned', { streams: result.streams, windows: result.planned.length })
    return result
  })
}
