import { app } from '@azure/functions'
import { functionLimits } from '../shared/config/function-limits.ts'
import { land } from '../shared/ingest/work.ts'
import { invocationSink } from '../shared/log/invocation-sink.ts'
import { invocationPlatform } from '../shared/platform.ts'

app.storageQueue('land', {
  queueName: 'land',
  connection: 'AzureWebJobsStorage',
  handler: async (message, context) => {
    await land(invocationPlatform(invocationSink(context)), message, functionLimits())
  },
})
