import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import { ConfigError } from '../../../../shared/errors.ts'
import { formatInstant } from '../../../../shared/instant.ts'
import { forgetConsumer } from '../../../../shared/metadata/feed/consumer-lease.ts'
import {
  type FedRecord,
  type FeedFilter,
  type FeedPosition,
  readFeed,
  readFeedCursor,
  restartFeed,
  writeFeedCursor,
} from '../../../../shared/metadata/feed/feed.ts'
import type { Database } from '../../../../shared/postgres/database.ts'
import { count, table } from '../../../table.ts'
import { type Cli, type CommandContext, examples } from '../../command.ts'
import { EXIT } from '../../exit-codes.ts'
import { formatSeconds } from '../../meter.ts'
import { type ConsumerFacts, type FeedFacts, positionBeforeLast, readConsumers, readFeedFacts } from './feed-facts.ts'
import { onMetadata, storeOf, tenantOf } from './on-metadata.ts'
import { kindValue, pageLimitValue, REASON_HELP, TENANT_HELP, targetText, tenantValue } from './options.ts'

const LAST = 10
const PAGE = 500
/** Records of one answer. */
const TAIL_MAX = 10_000
const POLL_MS = 1_000

export function registerFeed(metadata: Command, cli: Cli): void {
  const feed = metadata.command('feed').description('records in the order in which they became readable')
  registerTail(feed, cli)
  feed
    .command('status')
    .description('generation of the feed, how far it is held back, and who is behind')
    .addHelpText('after', examples('tributary metadata feed status', 'tributary metadata feed status --json'))
    .action(
      onMetadata(cli, async ({ platform, out }) => {
        out.answer(await readFeedFacts(storeOf(platform, 'feed').db), showStatus)
        return undefined
      }),
    )
  feed
    .command('restart')
    .description('after the database was restored: old cursors are refused, consumers begin at the first hot record')
    .requiredOption('--reason <text>', REASON_HELP)
    .addHelpText('after', examples("tributary metadata feed restart --reason 'restored to 10:50'"))
    .action(
      onMetadata(cli, async ({ platform, out, actor }, { reason }: { readonly reason: string }) => {
        const restarted = await restartFeed(storeOf(platform, 'feed').db, { actor, reason })
        out.answer(restarted, ({ generation }) => `generation ${generation} begins; all cursors of before are refused`)
        return undefined
      }),
    )
  feed
    .command('forget')
    .description('drop the cursor of a consumer that runs no more: it holds back compaction')
    .argument('<consumer>', 'name as metadata consumers shows it')
    .requiredOption('--reason <text>', REASON_HELP)
    .addHelpText('after', examples("tributary metadata feed forget alerts --reason 'replaced by signals'"))
    .action(
      onMetadata(cli, async ({ platform, out, actor }, consumer: string, { reason }: { readonly reason: string }) => {
        const forgotten = await forgetConsumer(storeOf(platform, 'feed').db, consumer, { actor, reason })
        out.answer({ consumer, forgotten }, () =>
          forgotten ? `${consumer} forgotten` : `${consumer}: there is none, or it is at work; nothing was changed`,
        )
        return forgotten ? undefined : EXIT.failed
      }),
    )
}

export function registerConsumers(metadata: Command, cli: Cli): void {
  metadata
    .command('consumers')
    .description('who follows the feed: cursor, what is still to be read, and the lease')
    .addHelpText('after', examples('tributary metadata consumers', 'tributary metadata consumers --json'))
    .action(
      onMetadata(cli, async ({ platform, out }) => {
        out.answer(await readConsumers(storeOf(platform, 'consumers').db), showConsumers)
        return undefined
      }),
    )
}

type TailOptions = {
  readonly follow?: true
  readonly last?: number
  readonly after?: string
  readonly kind?: string
  readonly tenant?: string
  readonly allTenants?: true
}

function registerTail(feed: Command, cli: Cli): void {
  feed
    .command('tail')
    .description('the last records that were stored')
    .option('--follow', 'and those that come, until it is stopped; with --json one line each')
    .option('--last <n>', `begin so many records before the end (default: ${LAST})`, pageLimitValue)
    .option('--after <cursor>', 'begin there instead, as an earlier one or the HTTP service named it')
    .option('--kind <kind>', 'only this kind', kindValue)
    .option('--tenant <tenant>', TENANT_HELP, tenantValue)
    .option('--all-tenants', 'of every tenant')
    .addHelpText(
      'after',
      examples('tributary metadata feed tail --last 100', 'tributary metadata feed tail --follow --kind recon_result'),
    )
    .action(
      onMetadata(cli, async (context, options: TailOptions) => {
        const { db } = storeOf(context.platform, 'feed')
        const filter = { tenant: tenantsOf(context, options), kind: options.kind }
        const begin = await beginOf(db, options, filter)
        return options.follow ? follow(context, cli, { db, filter, begin }) : tail(context, { db, filter, begin })
      }),
    )
}

type Tail = { readonly db: Database; readonly filter: FeedFilter; readonly begin: FeedPosition }

function tenantsOf({ platform }: CommandContext, { tenant, allTenants }: TailOptions): string | null {
  if (!allTenants) return tenantOf(platform, tenant)
  if (tenant === undefined) return null
  throw new ConfigError(['metadata feed tail: expected --tenant or --all-tenants, got both'])
}

async function beginOf(db: Database, { after, last }: TailOptions, filter: FeedFilter): Promise<FeedPosition> {
  if (after === undefined) {
    return positionBeforeLast(db, last ?? LAST, { tenant: filter.tenant, kind: filter.kind })
  }
  if (last !== undefined) throw new ConfigError(['metadata feed tail: expected --last or --after, got both'])
  return readFeedCursor(after, filter)
}

async function tail({ out, signal }: CommandContext, { db, filter, begin }: Tail) {
  const records: FedRecord[] = []
  let position = begin
  let end = false
  while (!end && records.length < TAIL_MAX && !signal.aborted) {
    const page = await readFeed(db, { ...filter, after: position, limit: PAGE })
    records.push(...page.records)
    ;({ position, end } = page)
  }
  const next = writeFeedCursor(position, filter)
  out.answer({ records: records.map(({ record }) => record), next, end }, () =>
    [...records.map(showFed), records.length === 0 ? 'no records' : '', `go on: --after ${next}`].join('\n'),
  )
  return signal.aborted ? EXIT.stopped : undefined
}

async function follow({ out, signal }: CommandContext, { streams }: Cli, { db, filter, begin }: Tail) {
  let position = begin
  while (!signal.aborted) {
    const page = await readFeed(db, { ...filter, after: position, limit: PAGE })
    for (const fed of page.records) streams.out(`${out.json ? JSON.stringify(fed.record) : showFed(fed)}\n`)
    position = page.position
    // Aborted: the loop ends by itself.
    if (page.end) await sleep(POLL_MS, undefined, { signal }).catch(() => undefined)
  }
  const next = writeFeedCursor(position, filter)
  out.progress('stopped', { next }, `go on: --after ${next}`)
  return EXIT.stopped
}

function showFed({ tenant, record }: FedRecord): string {
  const { storedAt, kind, target, scope, outcome, producerId, recordId } = record
  const words = [storedAt, tenant, kind, targetText(target), scope, outcome ?? '', producerId, recordId]
  return words.filter(Boolean).join('  ')
}

function showStatus({ generation, startedAt, heldBackSeconds, consumers }: FeedFacts): string {
  const held =
    heldBackSeconds === 0
      ? 'every record can be read'
      : `held back for ${formatSeconds(heldBackSeconds)}: a transaction of this server is open for as long`
  const behind = consumers.filter(({ rows }) => rows > 0)
  return [
    `generation ${generation} since ${formatInstant(startedAt)}`,
    held,
    ...(behind.length === 0 ? [`${consumers.length} consumers, none is behind`] : behind.map(showLag)),
  ].join('\n')
}

function showLag({ consumer, rows, seconds }: FeedFacts['consumers'][number]): string {
  return `${consumer} is behind by ${count(rows)} records, ${formatSeconds(seconds)}`
}

function showConsumers(consumers: readonly ConsumerFacts[]): string {
  if (consumers.length === 0) return 'nobody has followed the feed yet'
  return table(
    ['consumer', 'cursor', 'moved', 'to read', 'behind', 'epoch', 'lease'],
    consumers.map(({ consumer, xid, seq, updatedAt, rows, seconds, epoch, leasedUntil, beginsAnew }) => [
      consumer,
      beginsAnew ? 'begins anew' : `${xid}/${seq}`,
      formatInstant(updatedAt),
      count(rows),
      formatSeconds(seconds),
      String(epoch),
      leasedUntil === null ? '' : `until ${formatInstant(leasedUntil)}`,
    ]),
  )
}
