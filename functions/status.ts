import { app } from '@azure/functions'
import { invocationSink } from '../shared/log/invocation-sink.ts'
import { statusResponse } from '../shared/ops/status.ts'
import { invocationPlatform } from '../shared/platform.ts'

app.http('status', {
  methods: ['GET'],
  route: 'status',
  authLevel: 'function',
  handler: async (_request, context) => {
    const { status, body } = await statusResponse(invocationPlatform(invocationSink(context)))
    return { status, jsonBody: body }
  },
})
