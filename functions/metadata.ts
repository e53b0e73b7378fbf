import { app } from '@azure/functions'
import { functionLimits } from '../shared/config/function-limits.ts'
import { invocationSink } from '../shared/log/invocation-sink.ts'
import { moveMetadata } from '../shared/metadata/move.ts'
import { invocationPlatform } from '../shared/platform.ts'

// The message is a hint and carries nothing: whatever it says, all that is due is moved.
app.storageQueue('metadata', {
  queueName: 'metadata',
  connection: 'AzureWebJobsStorage',
  handler: async (_message, context) => {
    await moveMetadata(invocationPlatform(invocationSink(context)), functionLimits().stop)
  },
})
