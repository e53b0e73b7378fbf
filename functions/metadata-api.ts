import { app } from '@azure/functions'
import { invocationSink } from '../shared/log/invocation-sink.ts'
import { invocationService } from '../shared/metadata/service/open-service.ts'
import { ROUTE_PREFIX } from '../shared/metadata/service/request.ts'
import { ROUTES } from '../shared/metadata/service/routes.ts'

// No key of the host: the service asks each caller for a token of its own.
for (const route of ROUTES) {
  app.http(`metadata-${route.operationId}`, {
    methods: [route.method],
    route: `${ROUTE_PREFIX}${route.path}`,
    authLevel: 'anonymous',
    handler: async (request, context) => {
      const { service, log } = invocationService(invocationSink(context))
      return service.handle(route, request, log)
    },
  })
}
