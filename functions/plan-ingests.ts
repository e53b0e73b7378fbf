import { app } from '@azure/functions'
import { schedule } from '../shared/config/settings.ts'
import { planTick } from '../shared/ingest/plan/plan-tick.ts'
import { invocationSink } from '../shared/log/invocation-sink.ts'
import { invocationPlatform } from '../shared/platform.ts'

app.timer('plan-ingests', {
  schedule: schedule(process.env, 'PLAN_SCHEDULE'),
  handler: async (_timer, context) => {
    await planTick(invocationPlatform(invocationSink(context)))
  },
})
