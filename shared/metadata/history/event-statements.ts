import { z } from 'zod'
import { canonicalJson, type JsonValue } from '../../json.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import { eventKey, importEvent, runKey, type SourcedEvent } from './import-event.ts'

// An event that differs from the one of the same run, slice and time takes its place if it is the greater: of any number
// of them the same one is left, in whatever order and with whatever others they came. The comparison is PostgreSQL's
// alone; one here beside it would be another order.
const KEEP_EVENTS: Statement = {
  name: 'keep_import_events',
  text: `
insert into metadata.import_event as e (tenant_no, run_key, event_key, event, source)
select distinct on (i.run_key, i.event_key) $1::int, i.run_key, i.event_key, i.event, i.source
  from (select u.run_key collate "C" as run_key, u.event_key collate "C" as event_key, u.event::jsonb as event,
               u.source collate "C" as source
          from unnest($2::text[], $3::text[], $4::text[], $5::text[]) as u (run_key, event_key, event, source)) i
 order by i.run_key, i.event_key, i.event::text collate "C" desc, i.source
on conflict (tenant_no, run_key, event_key) do update
   set event = excluded.event, source = excluded.source, imported_at = now()
 where (excluded.event::text collate "C") > (e.event::text collate "C")
    or (excluded.event = e.event and (excluded.source collate "C") < (e.source collate "C"))
returning (xmax = 0) as fresh`,
}

export type KeptEvents = { readonly stored: number; readonly replaced: number; readonly repeated: number }

/** Any order, any repetition: the same rows. One statement, in the order of its keys. */
export async function keepEvents(
  db: Queryable,
  tenantNo: number,
  events: readonly SourcedEvent[],
): Promise<KeptEvents> {
  const rows = await db.query<{ fresh: boolean }>(KEEP_EVENTS, [
    tenantNo,
    events.map(({ event }) => runKey(event)),
    events.map(({ event }) => eventKey(event)),
    events.map(({ event }) => canonicalJson(event as JsonValue)),
    events.map(({ source }) => source),
  ])
  const stored = rows.filter(({ fresh }) => fresh).length
  return { stored, replaced: rows.length - stored, repeated: events.length - rows.length }
}

// In the order of the locks: two imports with common runs wait for each other.
const LOCK_RUNS: Statement = {
  name: 'lock_import_runs',
  text: `
select pg_advisory_xact_lock(w.lock)
  from (select distinct hashtextextended('metadata import ' || $1::int || ' ' || r, 0) as lock
          from unnest($2::text[]) as r order by 1 offset 0) w`,
}

/** Until the transaction ends. Nobody else merges these runs. */
export async function lockRuns(tx: Queryable, tenantNo: number, runs: readonly string[]): Promise<void> {
  await tx.query(LOCK_RUNS, [tenantNo, runs])
}

const READ_EVENTS: Statement = {
  name: 'read_import_events',
  text: `
select e.run_key as "runKey", e.event_key as "eventKey", e.event, e.source
  from metadata.import_event e
 where e.tenant_no = $1::int and e.run_key = any($2::text[])
   and (e.run_key, e.event_key) > ($3::text collate "C", $4::text collate "C")
 order by e.run_key, e.event_key
 limit $5::int`,
}

const EVENTS_PAGE = 2_000

const eventRow = z.object({ runKey: z.string(), eventKey: z.string(), event: importEvent, source: z.string() })

export type RunEvents = { readonly runKey: string; readonly events: readonly SourcedEvent[] }

/** Run by run; one run at a time is held, and a page. */
export async function* readRuns(db: Queryable, tenantNo: number, runs: readonly string[]): AsyncGenerator<RunEvents> {
  let runKey = ''
  let events: SourcedEvent[] = []
  for (let after = { runKey: '', eventKey: '' }; ; ) {
    const rows = await db.query<unknown>(READ_EVENTS, [tenantNo, runs, after.runKey, after.eventKey, EVENTS_PAGE])
    for (const row of rows) {
      const read = eventRow.parse(row)
      if (read.runKey !== runKey && events.length > 0) {
        yield { runKey, events }
        events = []
      }
      runKey = read.runKey
      events.push({ event: read.event, source: read.source })
      after = { runKey: read.runKey, eventKey: read.eventKey }
    }
    if (rows.length < EVENTS_PAGE) break
  }
  if (events.length > 0) yield { runKey, events }
}
