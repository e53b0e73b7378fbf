/** Work of which only so much may go on at a time; the rest waits for its turn, first come first served. */
export type Turns = {
  readonly take: <T>(work: () => Promise<T>) => Promise<T>
  /** Whether the next one would not have to wait. */
  readonly isFree: () => boolean
}

export function createTurns(atOnce: number): Turns {
  let taken = 0
  const waiting: (() => void)[] = []
  return {
    isFree: () => taken < atOnce,
    async take(work) {
      if (taken < atOnce) taken++
      // Whoever ends hands its turn over: nobody who comes later gets between.
      else await new Promise<void>((resolve) => waiting.push(resolve))
      try {
        return await work()
      } finally {
        const next = waiting.shift()
        if (next === undefined) taken--
        else next()
      }
    },
  }
}
