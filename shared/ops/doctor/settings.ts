import { readFile } from 'node:fs/promises'
import type { Environment } from '../../config/environment.ts'
import { FUNCTION_TIMEOUT_MS } from '../../config/function-limits.ts'
import { SCHEDULE_DEFAULTS, schedule } from '../../config/settings.ts'
import { ConfigError, toError } from '../../errors.ts'
import { parseStreamFile, type StreamDefinition } from '../../ingest/plan/stream-file.ts'
import type { Platform } from '../../platform.ts'
import { type Check, checked, fail, look, ok, warn } from './check.ts'
import { scheduleProblem } from './ncrontab.ts'

/** Settings that did not parse, one check per problem: each begins with the name of its setting. */
export function checkProblems(problems: readonly string[]): readonly Check[] {
  return problems.map((problem) => {
    const [, name = 'settings', rest = problem] = /^([^:]+): (.*)$/s.exec(problem) ?? []
    const [, expected = rest, got = 'another'] = /^expected (.*?), got (.*)$/s.exec(rest) ?? []
    return checked({ name: `settings: ${name}`, expected, todo: `mend ${name}` }, fail(got))
  })
}

export function checkSchedules(env: Environment): readonly Check[] {
  const names = Object.keys(SCHEDULE_DEFAULTS) as (keyof typeof SCHEDULE_DEFAULTS)[]
  return names.map((name) => {
    const expression = schedule(env, name)
    const problem = scheduleProblem(expression)
    return checked(
      {
        name: `settings: ${name}`,
        expected: 'an ncrontab expression of six fields',
        todo: `set ${name} to one such as "${SCHEDULE_DEFAULTS[name]}"; the host starts no timer with another`,
      },
      problem === null ? ok(expression) : fail(`"${expression}": ${problem}`),
    )
  })
}

const LEASE_S_SANE_MIN = 15

export function checkLease({ leaseSeconds }: Platform['settings']): Check {
  const most = FUNCTION_TIMEOUT_MS / 1000
  return checked(
    {
      name: 'settings: TRIBUTARY_LEASE_SECONDS',
      expected: `${LEASE_S_SANE_MIN} to ${most} s`,
      todo:
        leaseSeconds > most
          ? 'set it lower: the windows of a killed worker wait this long'
          : 'set it higher: a pause of a few seconds takes the ingest from a worker that lives',
    },
    leaseSeconds >= LEASE_S_SANE_MIN && leaseSeconds <= most ? ok(`${leaseSeconds} s`) : warn(`${leaseSeconds} s`),
  )
}

/** The streams file, and what each source that it names needs. */
export async function checkStreams(platform: Platform): Promise<readonly Check[]> {
  const path = platform.settings.streamsFile
  const subject = {
    name: 'streams file',
    expected: `streams in ${path}`,
    todo: 'mend the file, or set TRIBUTARY_STREAMS to another; until then it is not applied',
  }
  let streams: readonly StreamDefinition[] = []
  const file = await look(subject, platform.settings.secrets, async () => {
    const text = await readFile(path, 'utf8').catch((error) => {
      throw new Error(`no such file (${toError(error).message})`)
    })
    try {
      streams = parseStreamFile(text, platform.sources)
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      return fail(error.problems.join('; '))
    }
    return streams.length === 0 ? warn('no stream in it') : ok(`${streams.length} streams`)
  })
  const sources = [...new Set(streams.map(({ source }) => source))].sort()
  return [file, ...sources.flatMap((id) => checkSource(platform, id))]
}

function checkSource(platform: Platform, id: string): readonly Check[] {
  const source = platform.sources.get(id)
  if (source?.kind !== 'provider') return []
  const { missing, baseUrl } = platform.sourceSettings(source)
  const isAddress = URL.canParse(baseUrl) && /^https?:$/.test(new URL(baseUrl).protocol)
  return [
    checked(
      {
        name: `source ${id}: credentials`,
        expected: source.credentials.join(', ') || 'none',
        todo: `set ${missing.join(', ')}: its streams wait for it`,
      },
      missing.length === 0 ? ok('all are set') : fail(`no ${missing.join(', ')}`),
    ),
    checked(
      {
        name: `source ${id}: address`,
        expected: 'an http or https address',
        todo: `set ${id.toUpperCase()}_BASE_URL to one, or leave it out for ${source.baseUrl}`,
      },
      isAddress ? ok(baseUrl) : fail(baseUrl),
    ),
  ]
}
