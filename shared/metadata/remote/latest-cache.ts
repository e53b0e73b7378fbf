import type { LatestRecord } from '../model/repository.ts'

/** That there is none is an answer, too. */
export type LatestAnswer = { readonly latest: LatestRecord | null; readonly etag: string | undefined }

export type LatestCache = {
  /** Undefined where there was no answer, or it is too old. */
  readonly get: (key: string) => LatestAnswer | undefined
  /** Also of an answer that was confirmed: it is new again. */
  readonly set: (key: string, answer: LatestAnswer) => void
}

/** Of one planner with its sources and kinds many times over. */
const ANSWERS_MAX = 5_000

/** Last answers, the longest unused one forgotten first. `clock` in ms, of any origin. */
export function createLatestCache(forMs: number, clock: () => number): LatestCache {
  const answers = new Map<string, LatestAnswer & { readonly until: number }>()
  return {
    get(key) {
      const known = answers.get(key)
      if (known === undefined || clock() < known.until) return known
      answers.delete(key)
      return undefined
    },
    set(key, answer) {
      answers.delete(key)
      if (forMs <= 0) return
      answers.set(key, { ...answer, until: clock() + forMs })
      const [oldest] = answers.keys()
      if (answers.size > ANSWERS_MAX && oldest !== undefined) answers.delete(oldest)
    },
  }
}
