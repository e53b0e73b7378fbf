import { alpaca } from './alpaca/alpaca.ts'
import type { ProviderSource } from './contract.ts'
import { fred } from './fred/fred.ts'
import { massive } from './massive/massive.ts'

/** Every source that this build knows: one line each. */
export const SOURCES: ReadonlyMap<string, ProviderSource> = new Map(
  [alpaca, fred, massive].map((source) => [source.id, source]),
)
