export type RateLimit = {
  /** Takes one request if the window has room. */
  readonly take: () => { readonly allowed: boolean; readonly remaining: number; readonly resetAtMs: number }
}

/** At most `requestsMax` in any `windowMs`: a true sliding window, stricter than counting by calendar minute. */
export function createRateLimit(requestsMax: number, now: () => number, windowMs = 60_000): RateLimit {
  const taken: number[] = []
  return {
    take() {
      const nowMs = now()
      while (taken[0] !== undefined && taken[0] <= nowMs - windowMs) taken.shift()
      const allowed = taken.length < requestsMax
      if (allowed) taken.push(nowMs)
      return { allowed, remaining: requestsMax - taken.length, resetAtMs: (taken[0] ?? nowMs) + windowMs }
    },
  }
}
