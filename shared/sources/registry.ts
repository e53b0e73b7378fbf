import { alpaca } from './alpaca/alpaca.ts'
import type { Source } from './contract.ts'
import { fred } from './fred/fred.ts'

/** Every source that this build knows: one line each. */
export const SOURCES: ReadonlyMap<string, Source> = new Map([alpaca, fred].map((source) => [source.id, source]))
