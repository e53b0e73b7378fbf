import { app } from '@azure/functions'
import { functionLimits } from '../shared/config/function-limits.ts'
import { curate } from '../shared/ingest/work.ts'
import { invocationSink } from '../shared/log/invocation-sink.ts'
import { invocationPlatform } from '../shared/platform.ts'

app.storageQueue('curate', {
  queueName: 'curate',
  connection: 'AzureWebJobsStorage',
  handler: async (message, context) => {
    await curate(invocationPlatform(invocationSink(context)), message, functionLimits())
  },
})
