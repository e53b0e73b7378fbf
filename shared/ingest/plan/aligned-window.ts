import { ConfigError } from '../../errors.ts'
import { floorTo, formatInstant, type Instant, MICROS_PER_SECOND } from '../../instant.ts'
import type { Window } from '../../sources/contract.ts'
import type { SelectedStream } from './select-streams.ts'

type Bounds = Pick<SelectedStream, 'name' | 'origin' | 'until' | 'granularityS'>

/** Throws ConfigError, with every problem, where a person named a window that the stream cannot have. */
export function checkWindow(stream: Bounds, { lo, hi }: Window): void {
  const { name, origin, until } = stream
  const problems = [...misaligned(stream, 'from', lo), ...misaligned(stream, 'to', hi)]
  if (lo >= hi) {
    problems.push(`window of ${name}: expected from before to, got ${formatInstant(lo)} and ${formatInstant(hi)}`)
  }
  if (lo < origin) {
    problems.push(`from: expected the origin of ${name}, ${formatInstant(origin)}, or later, got ${formatInstant(lo)}`)
  }
  if (until !== null && hi > until) {
    problems.push(`to: expected the end of ${name}, ${formatInstant(until)}, or earlier, got ${formatInstant(hi)}`)
  }
  if (problems.length > 0) throw new ConfigError(problems)
}

/** What is wrong with an instant that does not lie on the granularity of the stream. */
export function misaligned({ name, granularityS }: Bounds, what: string, at: Instant): readonly string[] {
  const step = BigInt(granularityS) * MICROS_PER_SECOND
  const below = floorTo(at, step)
  if (below === at) return []
  const near = `${formatInstant(below)} or ${formatInstant(below + step)}`
  return [
    `${what}: expected a multiple of ${granularityS} s, the granularity of ${name}, such as ${near}, got ${formatInstant(at)}`,
  ]
}
