import { type Platform, transformVersions } from '../../platform.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import { type Claim, type CurateClaim, claimToCurate, claimToLand } from '../state/claim.ts'
import { claimRequest } from '../work.ts'

/** A landed window is its worker's own for this long; after that whoever has time takes it. */
const OWN_LANDED_S = 5

// Only what the claim that follows will not refuse: the row stays locked until then, so that workers side by side pick
// different ones. A provider that said when it may be asked again is not asked before. Of a backfill that is finished
// there may be windows again: those that a person replayed.
const claimable = (condition: string, order: string) => `
select i.source_ingest_id as "sourceIngestId"
  from ingest.backfill b
  join provenance.source_ingest i using (backfill_id)
  join ingest.stream s using (stream_id)
 where b.backfill_id = $1::uuid and b.state in ('active', 'finished') and not s.paused
   and (i.next_attempt_at is null or i.next_attempt_at <= now())
   and i.superseded_by is null and i.withdrawn_at is null
   and coalesce(i.transform_version, 0) <= ($2::jsonb ->> s.source)::int
   ${condition}
 order by ${order}
 limit 1
   for update of i skip locked`

const NOT_BLOCKED = `
   and not exists (select from ingest.rate_budget r
                    where r.budget_key = $3::jsonb ->> s.source and r.blocked_until > clock_timestamp())`

const toLand = (name: string, order: string): Statement => ({
  name,
  text: claimable(`and i.state = 'planned' ${NOT_BLOCKED}`, order),
})
const OLDEST_TO_LAND = toLand('oldest_of_backfill', 'i.lo, i.source_ingest_id')
const NEWEST_TO_LAND = toLand('newest_of_backfill', 'i.lo desc, i.source_ingest_id')

const LANDED: Statement = {
  name: 'landed_of_backfill',
  text: claimable(
    `and i.state = 'landed' and s.held_reason is null
   and (i.queued_at is null or i.queued_at <= now() - make_interval(secs => $3::int))`,
    'i.queued_at nulls first',
  ),
}

export type Picked =
  | { readonly kind: 'land'; readonly claim: Claim }
  | { readonly kind: 'curate'; readonly claim: CurateClaim }

export type PickOptions = { readonly backfillId: string; readonly newestFirst: boolean; readonly mayCurate: boolean }

/**
 * Claims what this worker does next for the backfill: a window that landed and that nobody curates, else the next one
 * to land. Null where nothing can be claimed now.
 */
export async function claimNext(platform: Platform, options: PickOptions): Promise<Picked | null> {
  const { backfillId, newestFirst, mayCurate } = options
  const versions = JSON.stringify(transformVersions(platform))
  return platform.db.transaction(async (tx) => {
    if (mayCurate) {
      const landed = await pick(tx, LANDED, [backfillId, versions, OWN_LANDED_S])
      const claim = landed && (await claimToCurate(tx, claimRequest(platform, landed)))
      if (claim) return { kind: 'curate', claim }
    }
    const statement = newestFirst ? NEWEST_TO_LAND : OLDEST_TO_LAND
    const planned = await pick(tx, statement, [backfillId, versions, budgetKeys(platform)])
    const claim = planned && (await claimToLand(tx, claimRequest(platform, planned)))
    return claim ? { kind: 'land', claim } : null
  })
}

async function pick(tx: Queryable, statement: Statement, values: readonly unknown[]): Promise<string | undefined> {
  return (await tx.query<{ sourceIngestId: string }>(statement, values))[0]?.sourceIngestId
}

/** Which quota each source asks under, as JSON. */
export function budgetKeys({ sources }: Pick<Platform, 'sources'>): string {
  return JSON.stringify(
    Object.fromEntries(
      [...sources.values()].flatMap((source) =>
        source.kind === 'provider' ? [[source.id, source.budget.key] as const] : [],
      ),
    ),
  )
}
