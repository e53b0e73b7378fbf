import type { RecordSink } from '../../shared/datasets/record-sink.ts'
import { MICROS_PER_DAY } from '../../shared/instant.ts'
import type { ProviderSource, Source } from '../../shared/sources/contract.ts'
import { SOURCES } from '../../shared/sources/registry.ts'

/** The sources as their next version would be, with another transform of Alpaca's bars. */
export function nextAlpaca(change: (into: RecordSink) => RecordSink): ReadonlyMap<string, Source> {
  return new Map([...SOURCES].map(([id, source]) => [id, source.kind === 'provider' ? next(source, change) : source]))
}

function next(source: ProviderSource, change: (into: RecordSink) => RecordSink): ProviderSource {
  return {
    ...source,
    transformVersion: source.transformVersion + 1,
    bind(params) {
      const bound = source.bind(params)
      return { ...bound, records: (body, into) => bound.records(body, change(into)) }
    },
  }
}

function changedColumn(into: RecordSink, changed: string, change: (value: unknown) => unknown): RecordSink {
  return {
    ...into,
    column(name) {
      const column = into.column(name)
      return name === changed ? { put: (value) => column.put(change(value)) } : column
    },
  }
}

/** Volumes in hundreds. */
export const VOLUMES_IN_HUNDREDS = nextAlpaca((into) =>
  changedColumn(into, 'volume', (value) => (typeof value === 'number' ? value / 100 : value)),
)

/** Each bar a day later, so that the last of a year moves into the next file. */
export const A_DAY_LATER = nextAlpaca((into) =>
  changedColumn(into, 'ts', (value) => (typeof value === 'bigint' ? value + MICROS_PER_DAY : value)),
)

/** A bar without a close closes at 0. */
export const CLOSE_OR_ZERO = nextAlpaca((into) => changedColumn(into, 'close', (value) => value ?? 0))

/** A bar that closed above `limit` is a reject. */
export function closeAtMost(limit: number): ReadonlyMap<string, Source> {
  return nextAlpaca((into) =>
    changedColumn(into, 'close', (value) => {
      if (typeof value === 'number' && value > limit) into.fail('out_of_range', `close: expected at most ${limit}`)
      return value
    }),
  )
}
