import type { Instant } from '../../instant.ts'

export type ExpiringCache<Value> = {
  readonly get: (key: string) => Value | undefined
  readonly set: (key: string, value: Value) => void
}

export type ExpiringCacheOptions = {
  readonly clock: () => Instant
  /** µs. */
  readonly age: Instant
  /** Above it the oldest goes. */
  readonly entriesMax: number
}

export function createExpiringCache<Value>({ clock, age, entriesMax }: ExpiringCacheOptions): ExpiringCache<Value> {
  const entries = new Map<string, { readonly value: Value; readonly until: Instant }>()
  return {
    get(key) {
      const entry = entries.get(key)
      if (entry === undefined) return undefined
      if (clock() < entry.until) return entry.value
      entries.delete(key)
      return undefined
    },
    set(key, value) {
      // Deleted first: a map keeps the place of a key that it knows.
      entries.delete(key)
      for (const oldest of entries.keys()) {
        if (entries.size < entriesMax) break
        entries.delete(oldest)
      }
      entries.set(key, { value, until: clock() + age })
    },
  }
}
