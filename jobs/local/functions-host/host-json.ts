import { readFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { z } from 'zod'
import { ConfigError, toError } from '../../../shared/errors.ts'
import { sample } from '../../../shared/json.ts'

/** The part of host.json that this host obeys. Defaults are those of the real host. */
export type HostJson = {
  /** Undefined: without end. */
  readonly functionTimeoutMs: number | undefined
  readonly routePrefix: string
  readonly queues: QueueSettings
}

export type QueueSettings = {
  readonly batchSize: number
  /** The next batch is received when this many messages, or fewer, are still being worked on. */
  readonly newBatchThreshold: number
  readonly maxDequeueCount: number
  /** How long a message hides after a failed run. Not the lock. */
  readonly visibilityTimeoutSeconds: number
  readonly maxPollingIntervalMs: number
  readonly messageEncoding: 'base64' | 'none'
}

/** Reads and checks host.json; throws `ConfigError` with every problem found. */
export async function readHostJson(path: string): Promise<HostJson> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new ConfigError([`${path}: expected a readable host.json, got ${toError(error).message}`])
  })
  return parseHostJson(text)
}

export function parseHostJson(text: string): HostJson {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw new ConfigError([`host.json: expected json, got ${toError(error).message}`])
  }
  const parsed = hostJson.safeParse(json, { reportInput: true })
  if (!parsed.success) throw new ConfigError(parsed.error.issues.map(problem))
  const { functionTimeout, extensions } = parsed.data
  const queues = extensions.queues
  return {
    functionTimeoutMs: functionTimeout === '-1' ? undefined : functionTimeout,
    routePrefix: extensions.http.routePrefix.replaceAll(/^\/+|\/+$/g, ''),
    queues: {
      batchSize: queues.batchSize,
      newBatchThreshold: queues.newBatchThreshold ?? Math.floor(queues.batchSize / 2) * availableParallelism(),
      maxDequeueCount: queues.maxDequeueCount,
      visibilityTimeoutSeconds: Math.ceil(queues.visibilityTimeout / 1000),
      maxPollingIntervalMs: queues.maxPollingInterval,
      messageEncoding: queues.messageEncoding,
    },
  }
}

// .NET's TimeSpan: [d.]hh:mm:ss[.fff]
const TIME_SPAN = /^(?:(\d{1,5})\.)?([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.(\d{1,3})\d{0,4})?$/

const timeSpanMs = z
  .string({ error: 'a time span hh:mm:ss' })
  .regex(TIME_SPAN, 'a time span hh:mm:ss')
  .transform((text) => {
    const [, days = '0', hours = '0', minutes = '0', seconds = '0', fraction = '0'] = TIME_SPAN.exec(text) ?? []
    const whole = ((Number(days) * 24 + Number(hours)) * 60 + Number(minutes)) * 60 + Number(seconds)
    return whole * 1000 + Number(fraction.padEnd(3, '0'))
  })

function whole(min: number, max: number) {
  const expected = `a whole number from ${min} to ${max}`
  return z.int({ error: expected }).min(min, expected).max(max, expected)
}

// Strict, because a misspelt key here would be a default that nobody chose.
const queues = z.strictObject({
  batchSize: whole(1, 32).default(16),
  newBatchThreshold: whole(0, 1000).optional(),
  maxDequeueCount: whole(1, 1000).default(5),
  visibilityTimeout: timeSpanMs.default(0),
  maxPollingInterval: timeSpanMs.default(60_000),
  messageEncoding: z.enum(['base64', 'none'], { error: '"base64" or "none"' }).default('base64'),
})

const object = { error: 'an object' }

const hostJson = z.looseObject(
  {
    version: z.literal('2.0', { error: '"2.0"' }),
    functionTimeout: z
      .union([z.literal('-1'), timeSpanMs], { error: 'a time span hh:mm:ss or "-1"' })
      .default(1_800_000),
    extensions: z
      .looseObject(
        {
          queues: queues.prefault({}),
          http: z.looseObject({ routePrefix: z.string({ error: 'a text' }).default('api') }, object).prefault({}),
        },
        object,
      )
      .prefault({}),
  },
  object,
)

function problem(issue: z.core.$ZodIssue): string {
  const place = ['host.json', issue.path.join('.')].filter(Boolean).join(' ')
  if (issue.code === 'unrecognized_keys')
    return `${place}: expected settings of the real host, got ${issue.keys.join(', ')}`
  return `${place}: expected ${issue.message}, got ${issue.input === undefined ? 'none' : sample(issue.input, 60)}`
}
