import { ConfigError } from '../../shared/errors.ts'
import { type ProviderProcess, startProvider } from './provider-process.ts'

export type ProviderChoice = {
  /** Settings to add: where the providers are, and which streams are pulled. */
  readonly settings: Readonly<Record<string, string>>
  /** One line for the person who started it. */
  readonly description: string
  readonly stop: () => Promise<void>
}

type Environment = Readonly<Record<string, string | undefined>>

/** Each provider with the settings that hold its credentials, and values that its simulator lets in. */
const PROVIDERS = [
  {
    source: 'alpaca',
    credentials: { ALPACA_KEY_ID: 'simulated-key-id', ALPACA_SECRET_KEY: 'simulated-secret-key' },
  },
  { source: 'fred', credentials: { FRED_API_KEY: 'simulated0key0of0no0value0at0all' } },
  { source: 'massive', credentials: { MASSIVE_API_KEY: 'simulated-key' } },
] as const

type Provider = (typeof PROVIDERS)[number]

/**
 * All providers simulated, with the demo streams, where no key of any is set. One key is enough, and nothing is
 * simulated: invented data must never come to lie beside what was pulled from a provider.
 */
export async function chooseProvider(env: Environment): Promise<ProviderChoice> {
  const problems = PROVIDERS.flatMap((provider) => incomplete(provider, env))
  if (problems.length > 0) throw new ConfigError(problems)
  const real = PROVIDERS.filter((provider) => hasKeys(provider, env))
  if (real.length === 0) return await simulateAll(env)
  const at = real.map(({ source }) => `${source} at ${env[baseUrlName(source)] || 'its public address'}`)
  const without = PROVIDERS.filter((provider) => !real.includes(provider)).map(
    ({ source, credentials }) => `; no ${Object.keys(credentials).join(', ')}: streams of ${source} wait for it`,
  )
  return {
    settings: {},
    description: `${at.join(', ')}, streams of ${env.TRIBUTARY_STREAMS || 'streams.json'}${without.join('')}`,
    stop: async () => undefined,
  }
}

async function simulateAll(env: Environment): Promise<ProviderChoice> {
  const started = await startAll()
  const file = env.TRIBUTARY_STREAMS || 'streams.demo.json'
  const settings: Record<string, string> = { TRIBUTARY_STREAMS: file }
  for (const { provider, process } of started) {
    settings[baseUrlName(provider.source)] = process.url
    Object.assign(settings, provider.credentials)
  }
  const at = started.map(({ provider, process }) => `${provider.source} at ${process.url}`)
  return {
    settings,
    description: `simulated, as no provider's key is set: ${at.join(', ')}; streams of ${file}`,
    stop: () => stopAll(started.map(({ process }) => process)),
  }
}

/** Each is a process of its own. Where one does not start, none is left. */
async function startAll() {
  const outcomes = await Promise.allSettled(
    PROVIDERS.map(async (provider) => ({ provider, process: await startProvider(provider.source) })),
  )
  const started = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
  const failed = outcomes.find((outcome) => outcome.status === 'rejected')
  if (failed === undefined) return started
  await stopAll(started.map(({ process }) => process))
  throw failed.reason
}

async function stopAll(processes: readonly ProviderProcess[]): Promise<void> {
  await Promise.all(processes.map((process) => process.stop()))
}

function hasKeys({ credentials }: Provider, env: Environment): boolean {
  return Object.keys(credentials).every((name) => env[name])
}

function incomplete({ credentials }: Provider, env: Environment): readonly string[] {
  const names = Object.keys(credentials)
  const set = names.filter((name) => env[name]).length
  if (set === 0 || set === names.length) return []
  return [`${names.join(', ')}: expected both or neither, got one`]
}

const baseUrlName = (source: string) => `${source.toUpperCase()}_BASE_URL`
