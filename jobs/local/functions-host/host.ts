import { dirname, join } from 'node:path'
import type { Queues } from '../../../shared/azure/queues.ts'
import { ConfigError, toError } from '../../../shared/errors.ts'
import { listenToLibrary } from './core-module.ts'
import { type AppFunction, type FunctionApp, functionsOf, loadFunctionApp } from './function-app.ts'
import { readHostJson } from './host-json.ts'
import type { HostLog } from './host-log.ts'
import { type HttpServer, startHttpServer } from './http-server.ts'
import { createInvoker, type InvocationReport, type Invoker, runAppHooks } from './invocation.ts'
import { pause } from './pause.ts'
import { createQueueListener, type QueueListener } from './queue-listener.ts'
import { createTimer, type Timer } from './timers.ts'

export type FunctionsHostOptions = {
  /** Compiled function files, loaded in this order; see `findEntryFiles`. */
  readonly entryFiles: readonly string[]
  readonly hostJsonPath: string
  /** Put into the environment of this process where it has no value yet, like `local.settings.json`. */
  readonly settings: Readonly<Record<string, string>>
  /** Queues of the account that `AzureWebJobsStorage` names. */
  readonly queues: Queues
  /** 0: any free port. Only the loopback is served. */
  readonly port: number
  /** The status of timers is kept below it. */
  readonly dataDir: string
  readonly log: HostLog
  /** `manual`: timers run through `invokeTimer` and the admin route only. */
  readonly timers: 'scheduled' | 'manual'
  /** How long a received message is hidden from others; renewed while its handler runs. The real host's is 600. */
  readonly lockSeconds?: number
  readonly onInvocation?: (report: InvocationReport) => void
}

export type FunctionsHost = {
  readonly port: number
  /** Names of the functions that run: those registered and not disabled. */
  readonly functions: readonly string[]
  /** Runs a timer now and awaits it; rejects with what its handler threw. */
  readonly invokeTimer: (name: string, options?: { readonly isPastDue?: boolean }) => Promise<void>
  /** Resolves when nothing runs and no queue has a visible message. A message that hides after a failure is not waited for. */
  readonly idle: () => Promise<void>
  readonly stats: () => { readonly running: readonly string[] }
  /** Receives no more, waits for what runs, at most `graceMs`, then runs the appTerminate hooks. */
  readonly stop: (options: { readonly graceMs: number }) => Promise<void>
}

const REAL_LOCK_SECONDS = 600

/**
 * Runs compiled function files unchanged, through the real `@azure/functions` library, and imitates the Azure Functions
 * host around them: timers, storage queues, buffered HTTP, the admin route. It proves that the functions register and
 * run, not that Azure accepts them: one instance and no scale-out, no host keys (`authLevel` is not enforced), no gRPC,
 * no extension bundle, no input or output bindings, no HTTP streaming. A `kill -9` leaves hidden messages, which come
 * back after `lockSeconds`, and timers that are past due.
 */
export async function startFunctionsHost(options: FunctionsHostOptions): Promise<FunctionsHost> {
  for (const [name, value] of Object.entries(options.settings)) process.env[name] ??= value
  const { log } = options
  const hostJson = await readHostJson(options.hostJsonPath)
  const deaf = listenToLibrary(log)
  let http: HttpServer | undefined
  try {
    const { entryFiles } = options
    const app = await loadFunctionApp({ entryFiles, routePrefix: hostJson.routePrefix, env: process.env })
    const folder = dirname(options.hostJsonPath)
    await runAppHooks(app, 'appStart', folder)
    await refuseStreaming(app)

    let listeners: readonly QueueListener[] = []
    const invoker = createInvoker({
      app,
      log,
      timeoutMs: hostJson.functionTimeoutMs,
      onInvocation(report) {
        // A handler that has ended may have sent messages: the next step of a chain must not wait for a poll.
        for (const listener of listeners) listener.wake()
        options.onInvocation?.(report)
      },
    })
    const timers = startableTimers(app, invoker, options)
    http = await startHttpServer({
      functions: functionsOf(app, 'http'),
      port: options.port,
      invoker,
      log,
      runByHand: (name, input) => runByHand(app, timers, invoker, name, input),
    })
    const lockSeconds = options.lockSeconds ?? REAL_LOCK_SECONDS
    listeners = functionsOf(app, 'queue').map((target) =>
      createQueueListener({ target, queues: options.queues, settings: hostJson.queues, lockSeconds, invoker, log }),
    )
    for (const timer of timers.values()) await timer.start(options.timers === 'scheduled')
    for (const listener of listeners) listener.start()
    return createHandle({ app, folder, log, deaf, invoker, http, timers, listeners })
  } catch (error) {
    deaf()
    await http?.stop()
    throw error
  }
}

type Parts = {
  readonly app: FunctionApp
  readonly folder: string
  readonly log: HostLog
  readonly deaf: () => void
  readonly invoker: Invoker
  readonly http: HttpServer
  readonly timers: ReadonlyMap<string, Timer>
  readonly listeners: readonly QueueListener[]
}

function createHandle(parts: Parts): FunctionsHost {
  const { app, invoker, timers, listeners, http } = parts
  let stopped: Promise<void> | undefined
  return {
    port: http.port,
    functions: app.functions.map(({ name }) => name),
    async invokeTimer(name, { isPastDue = false } = {}) {
      const timer = timers.get(name)
      if (!timer)
        throw new Error(`timer ${name}: expected one of ${[...timers.keys()].join(', ')}, got none of that name`)
      await timer.invoke({ isPastDue })
    },
    async idle() {
      while (!stopped) {
        await invoker.settled()
        const before = invoker.begun()
        await Promise.all(listeners.map((listener) => listener.polled()))
        if (invoker.begun() === before && invoker.running().length === 0) return
      }
    },
    stats: () => ({ running: invoker.running() }),
    stop({ graceMs }) {
      stopped ??= stop(parts, graceMs)
      return stopped
    },
  }
}

async function stop(
  { app, folder, log, deaf, invoker, http, timers, listeners }: Parts,
  graceMs: number,
): Promise<void> {
  const drained = Promise.all([
    ...[...timers.values()].map((timer) => timer.stop()),
    ...listeners.map((listener) => listener.stop()),
    http.stop(),
    invoker.settled(),
  ])
  const grace = new AbortController()
  const late = pause(graceMs, grace.signal).then(() => {
    const running = invoker.running()
    if (grace.signal.aborted) return
    log({
      level: 'warning',
      category: 'host',
      message: `stop: expected an end within ${graceMs} ms, got ${running.join(', ') || 'none'} still running`,
    })
  })
  await Promise.race([drained, late])
  grace.abort()
  http.cut()
  await runAppHooks(app, 'appTerminate', folder).catch((error: unknown) =>
    log({ level: 'error', category: 'host', message: `appTerminate hook: ${toError(error).message}` }),
  )
  deaf()
}

/** Locks the library's set-up, as the worker's start does, and sees whether it asks for a mode that is not here. */
async function refuseStreaming(app: FunctionApp): Promise<void> {
  const capabilities = await app.model.getCapabilities({})
  if (capabilities.HttpUri) {
    throw new ConfigError(['app.setup: expected enableHttpStream to be off, got on: the local host answers buffered'])
  }
}

function startableTimers(
  app: FunctionApp,
  invoker: Invoker,
  options: FunctionsHostOptions,
): ReadonlyMap<string, Timer> {
  const folder = join(options.dataDir, 'functions-host', 'timers')
  return new Map(
    functionsOf(app, 'timer').map((target) => [
      target.name,
      createTimer({ target, invoker, folder, log: options.log }),
    ]),
  )
}

/** What the admin route does; undefined where there is no timer or queue function of that name. */
function runByHand(
  app: FunctionApp,
  timers: ReadonlyMap<string, Timer>,
  invoker: Invoker,
  name: string,
  input: string,
): Promise<void> | undefined {
  const isNamed = (candidate: AppFunction) => candidate.name.toLowerCase() === name.toLowerCase()
  const target = app.functions.find(isNamed)
  if (target?.trigger.kind === 'timer') return timers.get(target.name)?.invoke({ isPastDue: false })
  if (target?.trigger.kind === 'queue') return invoker.invoke(target, { data: { string: input } }).then(() => undefined)
  return undefined
}
