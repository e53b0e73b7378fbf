import { app } from '@azure/functions'
import { schedule } from '../shared/config/settings.ts'
import { planLookbackTick } from '../shared/ingest/plan/plan-lookback-tick.ts'
import { invocationSink } from '../shared/log/invocation-sink.ts'
import { invocationPlatform } from '../shared/platform.ts'

app.timer('plan-lookbacks', {
  schedule: schedule(process.env, 'LOOKBACK_SCHEDULE'),
  handler: async (_timer, context) => {
    await planLookbackTick(invocationPlatform(invocationSink(context)))
  },
})
