import { z } from 'zod'
import { ConfigError } from '../../../shared/errors.ts'
import { sample } from '../../../shared/json.ts'
import { parseNcrontab, type Schedule } from './ncrontab.ts'
import { parseRoute, type Route } from './route.ts'

/** What starts a function, checked and with its settings filled in. */
export type Trigger = { readonly binding: string } & (TimerTrigger | QueueTrigger | HttpTrigger)

export type TimerTrigger = {
  readonly kind: 'timer'
  readonly schedule: Schedule
  readonly useMonitor: boolean
  readonly runOnStartup: boolean
  readonly retry: RetryPolicy | undefined
}

export type QueueTrigger = { readonly kind: 'queue'; readonly queue: string }

export type HttpTrigger = { readonly kind: 'http'; readonly methods: readonly string[]; readonly route: Route }

export type RetryPolicy = {
  /** -1: without end. */
  readonly retriesMax: number
  /** The same for fixed delays. */
  readonly delayMinMs: number
  readonly delayMaxMs: number
}

export type Environment = Readonly<Record<string, string | undefined>>

const bindingSchema = z.looseObject({ type: z.string(), direction: z.string() })

const secondsMs = z.object({ seconds: z.number() }).transform(({ seconds }) => seconds * 1000)

const retrySchema = z.discriminatedUnion('strategy', [
  z.looseObject({ strategy: z.literal('fixedDelay'), maxRetryCount: z.int(), delayInterval: secondsMs }),
  z.looseObject({
    strategy: z.literal('exponentialBackoff'),
    maxRetryCount: z.int(),
    minimumInterval: secondsMs,
    maximumInterval: secondsMs,
  }),
])

export const metadataSchema = z.looseObject({
  name: z.string().regex(/^[A-Za-z][\w-]{0,126}$/),
  bindings: z.record(z.string(), bindingSchema),
  retryOptions: retrySchema.optional(),
})

export type FunctionMetadata = z.infer<typeof metadataSchema>

const timerSchema = z.looseObject({
  schedule: z.string(),
  useMonitor: z.boolean().default(true),
  runOnStartup: z.boolean().default(false),
})
const queueSchema = z.looseObject({ queueName: z.string(), connection: z.string().default('') })
const httpSchema = z.looseObject({ methods: z.array(z.string()).default([]), route: z.string().optional() })

/** Throws `ConfigError` with what this host cannot run, so that nothing is silently left out. */
export function parseTrigger(metadata: FunctionMetadata, routePrefix: string, env: Environment): Trigger {
  const bindings = Object.entries(metadata.bindings)
  const found = bindings.find(([, { type }]) => /trigger$/i.test(type))
  if (!found) throw new ConfigError(['expected a binding whose type ends in Trigger, got none'])
  const [binding, options] = found
  for (const [name, { type }] of bindings) {
    if (name !== binding && type.toLowerCase() !== 'http') {
      throw new ConfigError([
        `expected no binding but its trigger, got ${type}: the local host moves no data, use a client`,
      ])
    }
  }
  const filled = fillSettings(options, env)
  const { retryOptions } = metadata
  if (retryOptions && options.type !== 'timerTrigger') {
    throw new ConfigError([`expected a retry policy on timers only, got one on ${options.type}`])
  }
  switch (options.type) {
    case 'timerTrigger': {
      const { schedule, useMonitor, runOnStartup } = timerSchema.parse(filled)
      return {
        binding,
        kind: 'timer',
        schedule: parseNcrontab(schedule),
        useMonitor,
        runOnStartup,
        retry: policy(retryOptions),
      }
    }
    case 'queueTrigger':
      return { binding, kind: 'queue', queue: parseQueue(queueSchema.parse(filled)) }
    case 'httpTrigger': {
      const { methods, route } = httpSchema.parse(filled)
      const path = [routePrefix, route ?? metadata.name].filter(Boolean).join('/')
      return { binding, kind: 'http', methods: methods.map((method) => method.toUpperCase()), route: parseRoute(path) }
    }
    default:
      throw new ConfigError([`expected a timer, queue or http trigger, got ${options.type}`])
  }
}

function parseQueue({ queueName, connection }: z.infer<typeof queueSchema>): string {
  if (connection !== '' && connection !== 'AzureWebJobsStorage') {
    throw new ConfigError([
      `expected connection AzureWebJobsStorage, got ${connection}: the local host knows one account`,
    ])
  }
  if (!/^(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/.test(queueName)) {
    throw new ConfigError([`expected a queue name of 3 to 63 of a-z, 0-9 and single -, got ${sample(queueName)}`])
  }
  return queueName
}

function policy(options: FunctionMetadata['retryOptions']): RetryPolicy | undefined {
  if (!options) return undefined
  const retriesMax = options.maxRetryCount
  return options.strategy === 'fixedDelay'
    ? { retriesMax, delayMinMs: options.delayInterval, delayMaxMs: options.delayInterval }
    : { retriesMax, delayMinMs: options.minimumInterval, delayMaxMs: options.maximumInterval }
}

/** Replaces `%NAME%` in every text of the binding by the setting of that name. */
function fillSettings(options: Readonly<Record<string, unknown>>, env: Environment): Record<string, unknown> {
  const missing: string[] = []
  const fill = (text: string) =>
    text.replaceAll(/%([^%\s]+)%/g, (whole, name: string) => {
      const value = env[name]
      if (value === undefined) missing.push(`expected the setting ${name} for ${whole}, got none`)
      return value ?? whole
    })
  const filled = Object.entries(options).map(([key, value]) => [key, typeof value === 'string' ? fill(value) : value])
  if (missing.length > 0) throw new ConfigError(missing)
  return Object.fromEntries(filled)
}
