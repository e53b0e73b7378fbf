import { app } from '@azure/functions'
import { schedule } from '../shared/config/settings.ts'
import { sweepTick } from '../shared/ingest/sweep.ts'
import { invocationSink } from '../shared/log/invocation-sink.ts'
import { invocationPlatform } from '../shared/platform.ts'

app.timer('sweep', {
  schedule: schedule(process.env, 'SWEEP_SCHEDULE'),
  handler: async (_timer, context) => {
    await sweepTick(invocationPlatform(invocationSink(context)))
  },
})
