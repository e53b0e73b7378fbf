import type { Route } from './route.ts'
import { AGGREGATE_ROUTES } from './routes/aggregates.ts'
import { DOCUMENT_ROUTES } from './routes/document.ts'
import { FEED_ROUTES } from './routes/feed.ts'
import { GUARD_ROUTES } from './routes/guards.ts'
import { KIND_ROUTES } from './routes/kinds.ts'
import { LINEAGE_ROUTES } from './routes/lineage.ts'
import { READ_ROUTES } from './routes/read-records.ts'
import { TOKEN_ROUTES } from './routes/tokens.ts'
import { WRITE_ROUTES } from './routes/write-records.ts'

/** Everything that the service answers. */
export const ROUTES: readonly Route[] = [
  ...WRITE_ROUTES,
  ...READ_ROUTES,
  ...FEED_ROUTES,
  ...LINEAGE_ROUTES,
  ...AGGREGATE_ROUTES,
  ...KIND_ROUTES,
  ...GUARD_ROUTES,
  ...TOKEN_ROUTES,
  ...DOCUMENT_ROUTES,
]
