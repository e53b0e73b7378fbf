import { randomBytes, randomUUID } from 'node:crypto'
import { toError } from '../../../shared/errors.ts'
import type {
  CoreInvocationContext,
  HookName,
  LogCategory,
  RpcInvocationResponse,
  RpcRetryContext,
  RpcTypedData,
} from './core-api.ts'
import type { AppFunction, FunctionApp } from './function-app.ts'
import type { HostLog, HostLogLevel } from './host-log.ts'

export type InvocationInput = {
  /** What the trigger hands over. */
  readonly data: RpcTypedData
  readonly triggerMetadata?: Readonly<Record<string, RpcTypedData>>
  readonly retryContext?: RpcRetryContext
  readonly traceParent?: string | undefined
}

export type InvocationReport = {
  readonly functionName: string
  readonly invocationId: string
  readonly outcome: 'success' | 'failure'
  readonly durationMs: number
}

export type Invoker = {
  /** Runs the function once; rejects with what its handler threw. */
  readonly invoke: (target: AppFunction, input: InvocationInput) => Promise<RpcInvocationResponse>
  /** Names of the functions that run now, one entry per invocation. */
  readonly running: () => readonly string[]
  /** How many invocations have begun since the start. */
  readonly begun: () => number
  /** Resolves when nothing runs. */
  readonly settled: () => Promise<void>
}

export type InvokerOptions = {
  readonly app: FunctionApp
  readonly log: HostLog
  /** Undefined: without end. */
  readonly timeoutMs: number | undefined
  readonly onInvocation: (report: InvocationReport) => void
}

export function createInvoker({ app, log, timeoutMs, onInvocation }: InvokerOptions): Invoker {
  const running = new Map<string, string>()
  let waiting: (() => void)[] = []
  let begun = 0

  const end = (invocationId: string) => {
    running.delete(invocationId)
    if (running.size > 0) return
    const settled = waiting
    waiting = []
    for (const resolve of settled) resolve()
  }

  return {
    async invoke(target, input) {
      const invocationId = randomUUID()
      const startedMs = performance.now()
      begun++
      running.set(invocationId, target.name)
      let outcome: InvocationReport['outcome'] = 'failure'
      try {
        const response = await within(timeoutMs, target.name, runOnce({ app, log, target, input, invocationId }))
        outcome = 'success'
        return response
      } catch (thrown) {
        const error = toError(thrown)
        const message = `function ${target.name} failed: ${error.stack ?? error.message}`
        log({ level: 'error', category: 'host', functionName: target.name, invocationId, message })
        throw error
      } finally {
        end(invocationId)
        onInvocation({ functionName: target.name, invocationId, outcome, durationMs: performance.now() - startedMs })
      }
    },
    running: () => [...running.values()],
    begun: () => begun,
    settled: () =>
      running.size === 0 ? Promise.resolve() : new Promise<void>((resolve) => waiting.push(() => resolve())),
  }
}

type OneRun = {
  readonly app: FunctionApp
  readonly log: HostLog
  readonly target: AppFunction
  readonly input: InvocationInput
  readonly invocationId: string
}

/** The steps of the Node worker's invocation handler, in its order. */
async function runOnce({ app, log, target, input, invocationId }: OneRun): Promise<RpcInvocationResponse> {
  let invocationContext: unknown
  const hookData = {}
  const core: CoreInvocationContext = {
    invocationId,
    metadata: target.metadata,
    request: {
      invocationId,
      functionId: target.name,
      inputData: [{ name: target.trigger.binding, data: input.data }],
      triggerMetadata: input.triggerMetadata ?? {},
      traceContext: { traceParent: input.traceParent ?? newTraceParent(), traceState: '', attributes: {} },
      retryContext: input.retryContext,
    },
    state: undefined,
    log(level, category, message) {
      const entry = { ...applyLogHooks(app, { hookData, invocationContext, level, category, message }), category }
      log({ ...entry, functionName: target.name, invocationId })
    },
  }
  const model = await app.model.getInvocationModel(core)
  const { context, inputs } = await model.getArguments()
  invocationContext = context
  const shared = { hookData, appHookData: app.appHookData, invocationContext }

  const before = { ...shared, inputs, functionCallback: target.callback }
  core.state = 'preInvocationHooks'
  await runHooks(app, 'preInvocation', before)

  core.state = 'invocation'
  const after: AfterRun = { ...shared, inputs: before.inputs, result: undefined, error: undefined }
  try {
    after.result = await model.invokeFunction(context, before.inputs, before.functionCallback)
  } catch (thrown) {
    // Whatever was thrown, undefined too, is a failure until a hook clears it.
    after.error = toError(thrown)
  }
  core.state = 'postInvocationHooks'
  await runHooks(app, 'postInvocation', after)
  core.state = undefined
  if (after.error !== undefined && after.error !== null) throw after.error
  return model.getResponse(context, after.result)
}

type AfterRun = Record<string, unknown> & { result: unknown; error: unknown }

async function runHooks(app: FunctionApp, name: HookName, context: Record<string, unknown>): Promise<void> {
  for (const hook of app.hooks(name)) await hook(context)
}

type LogLine = { readonly level: HostLogLevel; readonly message: string }
type LogHookInput = LogLine & {
  readonly hookData: object
  readonly invocationContext: unknown
  readonly category: LogCategory
}

function applyLogHooks(app: FunctionApp, line: LogHookInput): LogLine {
  const context = { ...line, appHookData: app.appHookData }
  for (const hook of app.hooks('log')) hook(context)
  return { level: context.level, message: context.message }
}

/** The app's own hooks at its start and its end. */
export async function runAppHooks(app: FunctionApp, name: 'appStart' | 'appTerminate', folder: string): Promise<void> {
  await runHooks(app, name, { hookData: {}, appHookData: app.appHookData, functionAppDirectory: folder })
}

/**
 * The real host ends the whole worker when a function exceeds its timeout. Here nothing can stop a running handler:
 * the invocation fails, and what the handler still does is its own.
 */
async function within<T>(timeoutMs: number | undefined, name: string, run: Promise<T>): Promise<T> {
  if (timeoutMs === undefined) return run
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    const error = new Error(`function ${name}: expected an end within functionTimeout, ${timeoutMs / 1000} s, got none`)
    timer = setTimeout(() => reject(error), timeoutMs)
  })
  try {
    return await Promise.race([run, late])
  } finally {
    clearTimeout(timer)
  }
}

function newTraceParent(): string {
  return `00-${randomBytes(16).toString('hex')}-${randomBytes(8).toString('hex')}-00`
}
