import pg from 'pg'
import { problem, type RecordProblem } from '../model/problem.ts'

// Data exception, integrity violation, program limit: it is about what was to be stored, and comes again.
// https://www.postgresql.org/docs/current/errcodes-appendix.html
const ABOUT_DATA = /^(22|23|54)/

/** What PostgreSQL has against the data of a statement; null where the error says nothing about them. */
export function refusalOf(error: unknown): RecordProblem | null {
  const cause = error instanceof Error ? error.cause : undefined
  if (!(cause instanceof pg.DatabaseError) || cause.code === undefined || !ABOUT_DATA.test(cause.code)) return null
  return problem('refused-by-store', `record: expected data that postgres stores, got ${cause.code} ${cause.message}`)
}

/**
 * Runs `work` on all items; where PostgreSQL refuses their data on each half, and so on down to the one that is to
 * blame, which goes to `refuse`: the others are stored as if it had never been there. Throws what is no refusal.
 */
export async function halving<Item>(
  items: readonly Item[],
  work: (items: readonly Item[]) => Promise<void>,
  refuse: (item: Item, wrong: RecordProblem) => Promise<void>,
): Promise<void> {
  if (items.length === 0) return
  try {
    await work(items)
  } catch (error) {
    const wrong = refusalOf(error)
    if (wrong === null) throw error
    const [only] = items
    if (items.length === 1 && only !== undefined) return refuse(only, wrong)
    const middle = Math.ceil(items.length / 2)
    await halving(items.slice(0, middle), work, refuse)
    await halving(items.slice(middle), work, refuse)
  }
}
