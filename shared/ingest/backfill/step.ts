import type { Dataset } from '../../datasets/contract.ts'
import { ConfigError } from '../../errors.ts'
import { floorTo, type Instant, MICROS_PER_DAY, MICROS_PER_MS } from '../../instant.ts'

/** Length of the windows of a backfill, in whole months: files hold months or years, and windows end with them. */
export type Step = { readonly text: string; readonly months: number }

/** `1mo`, `6mo`, `1y`. Throws ConfigError for anything else. */
export function parseStep(text: string): Step {
  const match = /^([1-9]\d{0,3})(mo|y)$/.exec(text)
  if (match) return { text, months: Number(match[1]) * (match[2] === 'y' ? 12 : 1) }
  throw new ConfigError([
    `--step: expected whole months or years such as 1mo or 1y, because files hold months or years, got "${text}"`,
  ])
}

/** Refuses a step that would cut a partition: workers of two windows would then write the same file. */
export function checkStep(
  step: Step,
  stream: { readonly name: string; readonly timeframe?: string | undefined },
  dataset: Dataset,
): void {
  const partition = dataset.partitionBy(stream)
  if (step.months % (partition === 'year' ? 12 : 1) === 0) return
  throw new ConfigError([
    `--step: expected whole years, because a file of ${stream.name} holds a ${partition}, got "${step.text}"`,
  ])
}

/** The first instant after `instant` at which a step ends. Steps are counted from the year 0. */
export function stepEnd({ months }: Step, instant: Instant): Instant {
  const date = new Date(Number(floorTo(instant, MICROS_PER_DAY) / MICROS_PER_MS))
  const month = date.getUTCFullYear() * 12 + date.getUTCMonth()
  const next = (Math.floor(month / months) + 1) * months
  // Not `Date.UTC`, which takes the years 0 to 99 for 1900 to 1999.
  const first = new Date(0)
  first.setUTCFullYear(Math.floor(next / 12), next % 12, 1)
  return BigInt(first.getTime()) * MICROS_PER_MS
}
