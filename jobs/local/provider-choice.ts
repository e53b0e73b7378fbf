import { ConfigError } from '../../shared/errors.ts'
import { type ProviderProcess, startProvider } from './provider-process.ts'

export type ProviderChoice = {
  /** Settings to add: where the provider is, and which streams are pulled. */
  readonly settings: Readonly<Record<string, string>>
  /** One line for the person who started it. */
  readonly description: string
  readonly stop: () => Promise<void>
}

/** Alpaca itself where a key is set, else the simulator with the demo stream. */
export async function chooseProvider(env: Readonly<Record<string, string | undefined>>): Promise<ProviderChoice> {
  const keys = [env.ALPACA_KEY_ID, env.ALPACA_SECRET_KEY].filter(Boolean).length
  if (keys === 1) throw new ConfigError(['ALPACA_KEY_ID, ALPACA_SECRET_KEY: expected both or neither, got one'])
  if (keys === 2) {
    const file = env.TRIBUTARY_STREAMS || 'streams.json'
    return {
      settings: {},
      description: `alpaca at ${env.ALPACA_BASE_URL || 'its public address'}, streams of ${file}`,
      stop: async () => undefined,
    }
  }
  const provider: ProviderProcess = await startProvider('alpaca')
  const file = env.TRIBUTARY_STREAMS || 'streams.demo.json'
  return {
    settings: {
      ALPACA_BASE_URL: provider.url,
      ALPACA_KEY_ID: 'simulated-key-id',
      ALPACA_SECRET_KEY: 'simulated-secret-key',
      TRIBUTARY_STREAMS: file,
    },
    description: `alpaca, simulated at ${provider.url} (no ALPACA_KEY_ID is set), streams of ${file}`,
    stop: provider.stop,
  }
}
