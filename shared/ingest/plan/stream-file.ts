import { z } from 'zod'
import { curatedRoot } from '../../curated/partition-path.ts'
import { formatDuration, parseDuration } from '../../duration.ts'
import { ConfigError } from '../../errors.ts'
import { formatInstant, type Instant, instantOfDate, MICROS_PER_SECOND, parseDateOrInstant } from '../../instant.ts'
import { canonicalJson, type JsonValue, sample } from '../../json.ts'
import type { BoundProvider, Source } from '../../sources/contract.ts'
import { QUEUE_WAIT_S } from './retention.ts'

/** One stream of `streams.json`, parsed, with its source's defaults filled in. */
export type StreamDefinition = {
  readonly source: string
  readonly dataset: string
  readonly params: JsonValue
  /** Canonical JSON of the parameters: with source and dataset it identifies the stream. */
  readonly paramsKey: string
  readonly subject: string
  readonly timeframe: string | null
  readonly curatedRoot: string
  readonly origin: Instant
  readonly until: Instant | null
  readonly history: 'live' | 'backfill'
  readonly intervalS: number
  readonly granularityS: number
  readonly maxWindowS: number
  readonly settleLagS: number
  readonly freshnessSlaS: number | null
  /** 0: nothing is read again. */
  readonly lookbackS: number
  readonly lookbackEveryS: number
  /** Null: the provider keeps everything. */
  readonly retentionS: number | null
  /** Not planned while the metadata repository does not answer. */
  readonly metadataRequired: boolean
}

/** PostgreSQL keeps durations as int4 seconds. */
const DURATION_S_MAX = 24_855 * 86_400
/** PostgreSQL has no year 0. */
const ORIGIN_MIN = instantOfDate(-719_162)

const duration = z.string().transform((text, context) => {
  const seconds = parseDuration(text)
  if (seconds !== undefined && seconds <= DURATION_S_MAX) return seconds
  if (seconds !== undefined) {
    context.addIssue({ code: 'custom', message: `expected a duration of at most 24855d, got "${text}"` })
    return z.NEVER
  }
  context.addIssue({ code: 'custom', message: `expected a duration such as 90s, 15m, 2h or 3d, got "${text}"` })
  return z.NEVER
})

const instant = z.string().transform((text, context) => {
  const value = parseDateOrInstant(text)
  if (value !== undefined && value >= ORIGIN_MIN) return value
  context.addIssue({ code: 'custom', message: `expected a date or an instant that exists, got "${text}"` })
  return z.NEVER
})

const entry = z.strictObject({
  source: z.string(),
  dataset: z.string(),
  // The source says what is in it. A schema of all JSON would follow it to any depth, and overflow the stack.
  params: z.record(z.string(), z.unknown()),
  origin: instant,
  until: instant.nullish(),
  history: z.enum(['live', 'backfill']).default('live'),
  every: duration,
  settleLag: duration.optional(),
  freshnessSla: duration.optional(),
  lookback: duration.optional(),
  lookbackEvery: duration.default(86_400),
  retention: duration.optional(),
  metadata: z.enum(['required', 'optional']).default('optional'),
})

/** A stream and where it stands in the file, which may have bad ones before it. */
type Placed = { readonly place: string; readonly stream: StreamDefinition }

const file = z.strictObject({ streams: z.array(z.unknown()) })

/**
 * Reads `streams.json`. All problems are reported together, each with its place in the file: `streams[2].origin: …`.
 * Throws ConfigError.
 */
export function parseStreamFile(text: string, sources: ReadonlyMap<string, Source>): readonly StreamDefinition[] {
  let json: unknown
  try {
    // Some editors begin a file with a byte order mark.
    json = JSON.parse(text.replace(/^\uFEFF/, ''))
  } catch (error) {
    throw new ConfigError([`streams file: expected json (${(error as Error).message})`])
  }
  const envelope = file.safeParse(json)
  if (!envelope.success) throw new ConfigError(envelope.error.issues.map((issue) => describe('streams file', issue)))
  const problems: string[] = []
  const placed: Placed[] = []
  for (const [index, item] of envelope.data.streams.entries()) {
    const place = `streams[${index}]`
    const parsed = entry.safeParse(item)
    if (!parsed.success) {
      problems.push(...parsed.error.issues.map((issue) => describe(place, issue)))
      continue
    }
    const bound = bindSource(parsed.data, sources, place, problems)
    if (bound === undefined) continue
    const stream = define(parsed.data, bound)
    problems.push(...contradictions(stream, bound, place))
    placed.push({ place, stream })
  }
  problems.push(...duplicates(placed))
  if (problems.length > 0) throw new ConfigError(problems)
  return placed.map(({ stream }) => stream)
}

function describe(place: string, issue: z.core.$ZodIssue): string {
  const path = issue.path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('')
  return `${place}${path}: ${issue.message}`
}

function bindSource(
  item: z.infer<typeof entry>,
  sources: ReadonlyMap<string, Source>,
  place: string,
  problems: string[],
): BoundProvider | undefined {
  const source = sources.get(item.source)
  if (source === undefined) {
    problems.push(`${place}.source: expected one of ${[...sources.keys()].join(', ')}, got "${item.source}"`)
    return undefined
  }
  if (source.kind === 'files') {
    problems.push(`${place}.source: expected a provider, got "${item.source}", whose files are taken when they come`)
    return undefined
  }
  if (source.dataset.name !== item.dataset) {
    problems.push(`${place}.dataset: expected ${source.dataset.name} of source ${source.id}, got "${item.dataset}"`)
    return undefined
  }
  try {
    return source.bind(item.params)
  } catch (error) {
    if (!(error instanceof z.ZodError)) throw error
    problems.push(...error.issues.map((issue) => describe(`${place}.params`, issue)))
    return undefined
  }
}

function define(item: z.infer<typeof entry>, bound: BoundProvider): StreamDefinition {
  const { source, dataset } = item
  const place = { dataset, source, subject: bound.subject, timeframe: bound.timeframe }
  const params = bound.params as JsonValue
  return {
    source,
    dataset,
    params,
    paramsKey: canonicalJson(params),
    subject: bound.subject,
    timeframe: bound.timeframe ?? null,
    curatedRoot: curatedRoot(place),
    origin: item.origin,
    until: item.until ?? null,
    history: item.history,
    intervalS: item.every,
    granularityS: bound.consistency.granularityS,
    maxWindowS: bound.consistency.maxWindowS,
    settleLagS: item.settleLag ?? bound.consistency.settleLagS,
    freshnessSlaS: item.freshnessSla ?? null,
    lookbackS: item.lookback ?? bound.consistency.lookbackS,
    lookbackEveryS: item.lookbackEvery,
    metadataRequired: item.metadata === 'required',
    retentionS: item.retention ?? bound.consistency.retentionS ?? null,
  }
}

function contradictions(stream: StreamDefinition, bound: BoundProvider, place: string): readonly string[] {
  const problems: string[] = []
  const granularity = BigInt(bound.consistency.granularityS) * MICROS_PER_SECOND
  for (const name of ['origin', 'until'] as const) {
    const value = stream[name]
    if (value !== null && value % granularity !== 0n) {
      problems.push(
        `${place}.${name}: expected a multiple of ${bound.consistency.granularityS} s, the stream's granularity, got ${formatInstant(value)}`,
      )
    }
  }
  if (stream.until !== null && stream.until <= stream.origin) {
    problems.push(`${place}.until: expected an instant after origin, got ${formatInstant(stream.until)}`)
  }
  const periods = { every: stream.intervalS, lookbackEvery: stream.lookbackEveryS, freshnessSla: stream.freshnessSlaS }
  for (const [name, seconds] of Object.entries(periods)) {
    if (seconds === 0) problems.push(`${place}.${name}: expected more than 0 s, got 0 s`)
  }
  const retained = leastRetentionS(stream)
  if (stream.retentionS !== null && stream.retentionS < retained) {
    problems.push(
      `${place}.retention: expected at least ${formatDuration(retained)} (settle lag, every, granularity and an hour in the queue), got ${formatDuration(stream.retentionS)}`,
    )
  }
  return problems
}

/** With less, time is gone before it is asked for although every plan is on time. */
function leastRetentionS({ settleLagS, intervalS, granularityS }: StreamDefinition): number {
  return settleLagS + intervalS + granularityS + QUEUE_WAIT_S
}

function duplicates(placed: readonly Placed[]): readonly string[] {
  const problems: string[] = []
  const first = new Map<string, Placed>()
  for (const { place, stream } of placed) {
    const other = first.get(stream.curatedRoot)
    if (other === undefined) {
      first.set(stream.curatedRoot, { place, stream })
      continue
    }
    problems.push(
      other.stream.paramsKey === stream.paramsKey
        ? `${place}: expected each stream once, got the same as ${other.place} (${sample(stream.paramsKey)})`
        : `${place}: expected partitions of its own, got those of ${other.place} (${stream.curatedRoot}); give one of them another subject`,
    )
  }
  return problems
}
