import { app } from '@azure/functions'
import { functionLimits } from '../shared/config/function-limits.ts'
import { schedule } from '../shared/config/settings.ts'
import { sweepTick } from '../shared/ingest/sweep.ts'
import { invocationSink } from '../shared/log/invocation-sink.ts'
import { moveMetadata } from '../shared/metadata/move.ts'
import { invocationPlatform } from '../shared/platform.ts'

app.timer('sweep', {
  schedule: schedule(process.env, 'SWEEP_SCHEDULE'),
  handler: async (_timer, context) => {
    const platform = invocationPlatform(invocationSink(context))
    await sweepTick(platform)
    // What no hint announced, or nobody could store until now.
    await moveMetadata(platform, functionLimits().stop)
  },
})
