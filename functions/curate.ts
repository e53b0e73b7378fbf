import { app } from '@azure/functions'
import { functionLimits } from '../shared/config/function-limits.ts'
import { curate, endsIngest } from '../shared/ingest/work.ts'
import { invocationSink } from '../shared/log/invocation-sink.ts'
import { invocationPlatform } from '../shared/platform.ts'

app.storageQueue('curate', {
  queueName: 'curate',
  connection: 'AzureWebJobsStorage',
  handler: async (message, context) => {
    const platform = invocationPlatform(invocationSink(context))
    const worked = await curate(platform, message, functionLimits())
    if (endsIngest(worked)) await platform.bus.announce()
  },
})
