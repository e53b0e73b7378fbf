export type RateLimit = {
  /** Takes one request if the window has room. */
  readonly take: () => { readonly allowed: boolean; readonly remaining: number; readonly resetAtMs: number }
}

const WINDOW_MS = 60_000

/** At most `requestsMax` in any 60 seconds: a true sliding window, stricter than counting by calendar minute. */
export function createRateLimit(requestsMax: number, now: () => number): RateLimit {
  const taken: number[] = []
  return {
    take() {
      const nowMs = now()
      while (taken[0] !== undefined && taken[0] <= nowMs - WINDOW_MS) taken.shift()
      const allowed = taken.length < requestsMax
      if (allowed) taken.push(nowMs)
      return { allowed, remaining: requestsMax - taken.length, resetAtMs: (taken[0] ?? nowMs) + WINDOW_MS }
    },
  }
}
