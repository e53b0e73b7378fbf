import { app } from '@azure/functions'
import { functionLimits } from '../shared/config/function-limits.ts'
import { endsIngest, land } from '../shared/ingest/work.ts'
import { invocationSink } from '../shared/log/invocation-sink.ts'
import { invocationPlatform } from '../shared/platform.ts'

app.storageQueue('land', {
  queueName: 'land',
  connection: 'AzureWebJobsStorage',
  handler: async (message, context) => {
    const platform = invocationPlatform(invocationSink(context))
    const worked = await land(platform, message, functionLimits())
    if (endsIngest(worked)) await platform.bus.announce()
  },
})
