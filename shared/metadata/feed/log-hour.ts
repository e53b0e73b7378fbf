import { floorTo, formatInstant, type Instant, MICROS_PER_SECOND } from '../../instant.ts'

export const HOUR = 3_600n * MICROS_PER_SECOND
export const DAY = 24n * HOUR

/** `log/2026/11/21/10.jsonl`: paths sort as the hours do. */
export function logPath(instant: Instant): string {
  const text = formatInstant(floorTo(instant, HOUR))
  return `log/${text.slice(0, 10).replaceAll('-', '/')}/${text.slice(11, 13)}.jsonl`
}
