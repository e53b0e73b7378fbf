import { toError } from '../errors.ts'
import type { Instant } from '../instant.ts'
import { formatInstant } from '../instant.ts'
import type { Platform } from '../platform.ts'
import type { Statement } from '../postgres/database.ts'

const UNTOLD: Statement = {
  name: 'untold_alerts',
  text: `
select alert_id as "alertId", kind, severity, subject, detail, opened_at as "openedAt", closed_at as "closedAt",
       opened_told_at is null as "tellOpened"
  from ops.alert
 where opened_told_at is null or (closed_at is not null and closed_told_at is null)
 order by alert_id
 limit 100`,
}

const TOLD: Statement = {
  name: 'alert_told',
  text: `
update ops.alert
   set opened_told_at = coalesce(opened_told_at, now()), closed_told_at = case when $2::boolean then now() end
 where alert_id = $1::bigint`,
}

type Untold = {
  readonly alertId: number
  readonly kind: string
  readonly severity: string
  readonly subject: string
  readonly detail: unknown
  readonly openedAt: Instant
  readonly closedAt: Instant | null
  readonly tellOpened: boolean
}

const WEBHOOK_TIMEOUT_MS = 10_000

/**
 * Logs `alert_opened` and `alert_closed` once per alert, and posts the same to the webhook if one is set. The row is
 * the outbox: what could not be posted is tried again by the next sweep, so a message may come twice, never not at all.
 */
export async function tellAlerts(platform: Platform): Promise<void> {
  for (const alert of await platform.db.query<Untold>(UNTOLD)) {
    const { alertId, kind, severity, subject, detail } = alert
    const events = [...(alert.tellOpened ? ['alert_opened'] : []), ...(alert.closedAt === null ? [] : ['alert_closed'])]
    for (const event of events) {
      const line = { event, kind, severity, subject, detail, opened_at: formatInstant(alert.openedAt) }
      if (!(await post(platform, line))) return
      platform.log.warn(event, line)
    }
    await platform.db.query(TOLD, [alertId, alert.closedAt !== null])
  }
}

async function post(platform: Platform, line: object): Promise<boolean> {
  const url = platform.settings.alertWebhookUrl
  if (url === undefined) return true
  try {
    const answer = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(line),
      signal: AbortSignal.timeout(WEBHOOK_TIMEOUT_MS),
    })
    await answer.body?.cancel()
    if (answer.ok) return true
    throw new Error(`expected status 2xx, got ${answer.status}`)
  } catch (error) {
    platform.log.warn('alert_webhook_failed', { error: toError(error) })
    return false
  }
}
