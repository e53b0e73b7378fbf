import { expect, test } from 'vitest'
import { chooseProvider } from '../../jobs/local/provider-choice.ts'
import { sourceSettings } from '../../shared/config/settings.ts'
import { SOURCES } from '../../shared/sources/registry.ts'

const ALPACA = { ALPACA_KEY_ID: 'id', ALPACA_SECRET_KEY: 'secret' }
const FRED = { FRED_API_KEY: 'key' }
const MASSIVE = { MASSIVE_API_KEY: 'key' }

test.each<[Record<string, string>, string]>([
  [
    ALPACA,
    'alpaca at its public address, streams of streams.json; no FRED_API_KEY: streams of fred wait for it; no MASSIVE_API_KEY: streams of massive wait for it',
  ],
  [
    { ...FRED, ...MASSIVE, FRED_BASE_URL: 'http://fred.test', TRIBUTARY_STREAMS: 'mine.json' },
    'fred at http://fred.test, massive at its public address, streams of mine.json; no ALPACA_KEY_ID, ALPACA_SECRET_KEY: streams of alpaca wait for it',
  ],
  [
    { ...ALPACA, ...FRED, ...MASSIVE },
    'alpaca at its public address, fred at its public address, massive at its public address, streams of streams.json',
  ],
])('with the keys %j nothing is simulated, and it is said whose streams wait', async (env, description) => {
  const choice = await chooseProvider(env)
  expect([choice.settings, choice.description]).toEqual([{}, description])
})

test('half of the credentials of a provider are refused, though another has all', async () => {
  const reason = 'ALPACA_KEY_ID, ALPACA_SECRET_KEY: expected both or neither, got one'
  await expect(chooseProvider({ ALPACA_KEY_ID: 'id', ...FRED })).rejects.toThrow(reason)
})

test('keys of every source are keys that the choice knows', async () => {
  for (const source of SOURCES.values()) {
    const env = Object.fromEntries(source.credentials.map((name) => [name, 'value']))
    const { description } = await chooseProvider(env)
    expect([description.startsWith(`${source.id} at `), sourceSettings(env, source).missing]).toEqual([true, []])
  }
})
