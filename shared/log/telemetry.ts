import type { TokenCredential } from '@azure/identity'
import type { AzureMonitorExporterOptions } from '@azure/monitor-opentelemetry-exporter'
import type { Span, Tracer } from '@opentelemetry/api'
import { toError } from '../errors.ts'
import type { IoHook, IoOperation } from '../io-hook.ts'
import { currentTraceParent } from './trace-context.ts'

export type TelemetryOptions = {
  /** Of Application Insights. */
  readonly connectionString: string
  /** Without one whoever knows the connection string may write. */
  readonly credential: (() => Promise<TokenCredential>) | undefined
  /** Instead of the exporter's own, which speaks https only. */
  readonly httpClient?: NonNullable<AzureMonitorExporterOptions['httpClient']>
}

export type Telemetry = {
  /** A span around every operation of storage, PostgreSQL, queues and providers. */
  readonly hook: IoHook
  /** Sends what is not sent yet. */
  readonly flush: () => Promise<void>
}

type Tracing = {
  readonly tracer: Tracer
  readonly api: typeof import('@opentelemetry/api')
  readonly flush: () => Promise<void>
}

/**
 * OpenTelemetry at the seam through which all I/O goes, sent to Application Insights. Nothing patches a library, and
 * nothing of it is loaded before the first operation. Names of spans are few (client and action); what an operation
 * acts on is an attribute. Subjects carry no secrets: URLs are redacted before they come here.
 */
export function createTelemetry(options: TelemetryOptions): Telemetry {
  let opening: Promise<Tracing> | undefined
  return {
    async hook(operation, run) {
      opening ??= openTracing(options)
      const { tracer, api } = await opening
      const parent = parentContext(api)
      const settings = { kind: api.SpanKind.CLIENT, attributes: attributesOf(operation) }
      return tracer.startActiveSpan(`${operation.client} ${operation.action}`, settings, parent, (span) =>
        within(api, span, run),
      )
    },
    async flush() {
      await (await opening)?.flush()
    },
  }
}

async function within<T>(api: Tracing['api'], span: Span, run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (thrown) {
    const error = toError(thrown)
    span.setStatus({ code: api.SpanStatusCode.ERROR, message: error.name })
    throw thrown
  } finally {
    span.end()
  }
}

function attributesOf({ client, action, subject }: IoOperation) {
  const system = {
    blob: 'azure.storage',
    queue: 'azure.queue',
    table: 'azure.table',
    postgres: 'postgresql',
    http: 'http',
  }
  return { 'peer.service': system[client], 'tributary.action': action, 'tributary.subject': subject }
}

/** The span of the host, which it records itself. */
function parentContext({ context, trace, ROOT_CONTEXT }: Tracing['api']) {
  const [, traceId, spanId, flags] =
    /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(currentTraceParent() ?? '') ?? []
  if (traceId === undefined || spanId === undefined) return context.active() ?? ROOT_CONTEXT
  return trace.setSpanContext(context.active(), {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags ?? '0', 16),
    isRemote: true,
  })
}

async function openTracing({ connectionString, credential, httpClient }: TelemetryOptions): Promise<Tracing> {
  const [api, { AzureMonitorTraceExporter }, { BasicTracerProvider, BatchSpanProcessor }, { resourceFromAttributes }] =
    await Promise.all([
      import('@opentelemetry/api'),
      import('@azure/monitor-opentelemetry-exporter'),
      import('@opentelemetry/sdk-trace-base'),
      import('@opentelemetry/resources'),
    ])
  const exporter = new AzureMonitorTraceExporter({
    connectionString,
    ...(httpClient && { httpClient }),
    ...(credential && { credential: await credential() }),
    // Its files would go to the disk of an instance that is thrown away.
    disableOfflineStorage: true,
  })
  const provider = new BasicTracerProvider({
    resource: resourceFromAttributes({ 'service.name': 'tributary' }),
    spanProcessors: [new BatchSpanProcessor(exporter)],
  })
  return { tracer: provider.getTracer('tributary'), api, flush: () => provider.forceFlush() }
}
