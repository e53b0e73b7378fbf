import { setTimeout as pause } from 'node:timers/promises'
import { z } from 'zod'
import { type FeedPage, readFeed, readFeedCursor, writeFeedCursor } from '../../feed/feed.ts'
import { PAGE_LIMIT } from '../../model/repository.ts'
import { needKind, pageParameters, wholeNumber } from '../parameters.ts'
import { defineRoute, type Route, type ServiceState } from '../route.ts'
import { feedPage } from '../wire/records.ts'

const WAIT_S_MAX = 10
/** Of one instance: more than these are answered at once. */
const WAITING_MAX = 8
const POLL_MS = 1_000
/** That one question looks through for one that is not empty. */
const PAGES_MAX = 20

const getFeed = defineRoute({
  operationId: 'getFeed',
  method: 'GET',
  path: '/feed',
  summary: 'What was stored, in an order in which nothing ever comes before what was read. At least once.',
  permission: 'feed:read',
  query: z.strictObject({
    after: z.string().max(2_000).optional().describe('`next` of the page before; absent: the oldest that is hot'),
    kind: z.string().min(1).max(63).optional(),
    limit: pageParameters.limit,
    wait: wholeNumber(0, WAIT_S_MAX).optional().describe('seconds to wait where there is nothing'),
  }),
  answers: { 200: { description: 'What follows the cursor, and the next cursor.', schema: feedPage } },
  problems: ['unknown-kind', 'malformed-cursor', 'cursor-mismatch', 'feed-ahead', 'feed-gone'],
  async handle({ query, caller }, { db, kinds, waiting }) {
    const { after, kind, limit = PAGE_LIMIT, wait = 0 } = query
    if (kind !== undefined) await needKind(kinds, kind)
    const filter = { tenant: caller.tenant, kind }
    let position = after === undefined ? null : readFeedCursor(after, filter)
    const read = async () => {
      const page = await readFeed(db, { ...filter, after: position, limit })
      position = page.position
      return page
    }
    const page = await readUntilSome(read, wait, waiting)
    const records = page.records.map(({ record }) => record)
    return { status: 200, body: { records, next: writeFeedCursor(page.position, filter), end: page.end } }
  },
})

export const FEED_ROUTES: readonly Route[] = [getFeed]

/** Asks again each second; between two questions no connection is held, there are only two. */
async function readUntilSome(
  read: () => Promise<FeedPage>,
  waitSeconds: number,
  waiting: ServiceState['waiting'],
): Promise<FeedPage> {
  let page = await readOn(read)
  if (waiting.count >= WAITING_MAX) return page
  waiting.count++
  try {
    for (let second = 0; second < waitSeconds && page.end && page.records.length === 0; second++) {
      await pause(POLL_MS)
      page = await readOn(read)
    }
    return page
  } finally {
    waiting.count--
  }
}

/** A page looks at so many rows, most of them perhaps of other tenants and kinds: an empty one may not be the end. */
async function readOn(read: () => Promise<FeedPage>): Promise<FeedPage> {
  let page = await read()
  for (let more = 1; more < PAGES_MAX && !page.end && page.records.length === 0; more++) page = await read()
  return page
}
