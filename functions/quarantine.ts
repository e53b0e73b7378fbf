import { app } from '@azure/functions'
import { QUEUES } from '../shared/config/storage-names.ts'
import { reportPoison } from '../shared/ingest/work.ts'
import { invocationSink } from '../shared/log/invocation-sink.ts'
import { invocationPlatform } from '../shared/platform.ts'

// A poison queue has no poison queue of its own: whatever the body is, it is reported and acknowledged.
for (const queue of QUEUES) {
  app.storageQueue(`quarantine-${queue}`, {
    queueName: `${queue}-poison`,
    connection: 'AzureWebJobsStorage',
    handler: async (message, context) => {
      await reportPoison(invocationPlatform(invocationSink(context)), queue, message)
    },
  })
}
