import type { Environment } from '../../config/environment.ts'
import type { Platform } from '../../platform.ts'
import { type Check, checked, ok } from './check.ts'
import { checkClocks } from './clocks.ts'
import { checkHostJson } from './host-json.ts'
import { checkPostgres } from './postgres.ts'
import { checkLease, checkProblems, checkSchedules, checkStreams } from './settings.ts'
import { checkStorage } from './storage.ts'

export type Patient = {
  readonly env: Environment
  /** The platform, or why there is none. */
  readonly opened: { readonly platform: Platform } | { readonly problems: readonly string[] }
  /** Text of host.json; null where there is none, as beside a job. */
  readonly hostJson: string | null
  /** This machine's clock, ms since 1970. */
  readonly nowMs?: () => number
}

/**
 * Looks at everything that must hold before anything can work, and says of each what was expected, what came and what
 * to do. Writes one probe into raw and nothing else.
 */
export async function diagnose({ env, opened, hostJson, nowMs = Date.now }: Patient): Promise<readonly Check[]> {
  const local = [...checkSchedules(env), ...(hostJson === null ? [] : checkHostJson(hostJson))]
  if ('problems' in opened) return [...checkProblems(opened.problems), ...local]
  const { platform } = opened
  const parsed = checked({ name: 'settings: parsed', expected: 'every setting is readable', todo: '' }, ok('they are'))
  return [
    parsed,
    checkLease(platform.settings),
    ...local,
    ...(await checkStreams(platform)),
    ...(await checkStorage(platform)),
    ...(await checkPostgres(platform)),
    ...(await checkClocks(platform, nowMs)),
  ]
}
