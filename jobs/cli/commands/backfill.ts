import type { Command } from 'commander'
import { openTable } from '../../../shared/azure/tables.ts'
import { PROGRESS_TABLE } from '../../../shared/config/storage-names.ts'
import {
  type Controlled,
  cancelBackfill,
  pauseBackfill,
  resumeBackfill,
} from '../../../shared/ingest/backfill/control.ts'
import { type BackfillPlan, planBackfill } from '../../../shared/ingest/backfill/plan.ts'
import {
  type BackfillStatus,
  type BackfillSummary,
  readBackfillStatus,
  readBackfills,
} from '../../../shared/ingest/backfill/status.ts'
import { formatInstant, type Instant } from '../../../shared/instant.ts'
import { count, table } from '../../table.ts'
import { instantOption } from '../backfill-options.ts'
import { type Cli, examples, onPlatform } from '../command.ts'
import { registerBackfillRun, waitingLine } from './backfill-run.ts'

type PlanFlags = {
  readonly stream: readonly string[]
  readonly from?: string
  readonly to?: string
  readonly step?: string
  readonly newestFirst?: true
  readonly again?: true
  readonly dryRun?: true
}

export function registerBackfill(program: Command, cli: Cli): void {
  const backfill = program
    .command('backfill')
    .description('history of streams, planned as windows and fetched by any number of workers')
  registerPlan(backfill, cli)
  registerBackfillRun(backfill, cli)
  backfill
    .command('status')
    .description('how backfills stand; with an id one of them, with its workers and what failed')
    .argument('[id]', 'id of a backfill')
    .addHelpText('after', examples('tributary backfill status', 'tributary backfill status 0197c2aa-… --json'))
    .action(
      onPlatform(cli, async ({ platform, out }, id: string | undefined) => {
        if (id === undefined) out.answer(await readBackfills(platform), showList)
        else {
          const progress = openTable({ account: platform.settings.lakeStorage, table: PROGRESS_TABLE })
          out.answer(await readBackfillStatus(platform, progress, id), showStatus)
        }
        return undefined
      }),
    )
  registerControls(backfill, cli)
}

function registerPlan(backfill: Command, cli: Cli): void {
  backfill
    .command('plan')
    .description('plan what is missing, and say what it will take; nothing is fetched before it is run')
    .requiredOption('--stream <name...>', 'names of streams, * for any text')
    .option('--from <instant>', 'begin of the range, included (default: the origin of each stream)')
    .option('--to <instant>', 'end of the range, not included (default: where the lane live begins)')
    .option('--step <length>', 'length of a window in whole months or years, such as 1mo (default: as long as allowed)')
    .option('--newest-first', 'the newest windows first')
    .option('--again', 'also what is fetched or accepted already')
    .option('--dry-run', 'say it, and plan nothing')
    .addHelpText(
      'after',
      examples(
        'tributary backfill plan --stream alpaca/bars/TSLA/1m --from 2016-01-04 --to 2020-01-01',
        "tributary backfill plan --stream 'alpaca/bars/*/1m' --from 2016-01-04 --newest-first --dry-run",
      ),
    )
    .action(
      onPlatform(cli, async ({ platform, out, actor }, flags: PlanFlags) => {
        const plan = await planBackfill(platform, {
          streams: flags.stream,
          from: instantOption('--from', flags.from),
          to: instantOption('--to', flags.to),
          step: flags.step ?? null,
          newestFirst: flags.newestFirst === true,
          again: flags.again === true,
          dryRun: flags.dryRun === true,
          actor,
        })
        out.answer(plan, showPlan)
        return undefined
      }),
    )
}

function registerControls(backfill: Command, cli: Cli): void {
  for (const [verb, control, description] of [
    ['pause', pauseBackfill, 'workers claim nothing more of it and end (75); what is under way ends'],
    ['resume', resumeBackfill, 'go on with a paused backfill; run it again where its workers have ended'],
    ['cancel', cancelBackfill, 'give up what is not begun; what is fetched stays'],
  ] as const) {
    backfill
      .command(verb)
      .description(description)
      .argument('<id>', 'id of the backfill')
      .option('--reason <text>', 'why; kept in the audit')
      .addHelpText('after', examples(`tributary backfill ${verb} 0197c2aa-7c1e-7a35-8d6e-0d8f5b1c2a11`))
      .action(
        onPlatform(cli, async ({ platform, out, actor }, backfillId: string, { reason }: { reason?: string }) => {
          const controlled = await control(platform.db, { backfillId, actor, reason: reason ?? null })
          out.answer({ backfillId, ...controlled }, (answer) => showControlled(verb, answer))
          return undefined
        }),
      )
  }
}

const PAST = { pause: 'paused', resume: 'resumed', cancel: 'cancelled' } as const
const DONE = { pause: 'wait', resume: 'go on', cancel: 'cancelled' } as const

function showControlled(verb: keyof typeof PAST, answer: Controlled & { readonly backfillId: string }): string {
  const { backfillId, changed, windows, underWay, before } = answer
  if (!changed) return `backfill ${backfillId} was ${before} already`
  const rest = underWay === 0 ? '' : `, ${underWay} under way end by themselves`
  return `backfill ${backfillId} ${PAST[verb]}: ${windows} windows ${DONE[verb]}${rest}`
}

const day = (instant: Instant | null, otherwise = '') =>
  instant === null ? otherwise : formatInstant(instant).replace('T00:00:00Z', '')

function showPlan({ backfillId, windows, streams, leftOut, estimate }: BackfillPlan): string {
  const lines: string[] = []
  if (streams.length > 0) {
    lines.push(
      table(
        ['stream', 'windows', 'from', 'to', 'calls', 'MB', 'estimated from'],
        streams.map(({ stream, windows, lo, hi, calls, bytes, basis }) => [
          stream,
          count(windows),
          day(lo),
          day(hi),
          basis === 'none' ? `≥ ${count(calls)}` : count(calls),
          bytes === null ? '?' : count(Math.ceil(bytes / 1e6)),
          { stream: 'its own ingests', source: 'streams like it', none: 'nothing: no history yet' }[basis],
        ]),
      ),
      '',
    )
  }
  for (const { stream, lo, hi, reason } of leftOut) {
    const range = lo === null && hi === null ? '' : ` ${day(lo, 'origin')} … ${day(hi, 'now')}`
    lines.push(`left out: ${stream}${range} ${reason}`)
  }
  const least = estimate.bytes === null ? 'at least ' : 'about '
  const bytes = estimate.bytes === null ? '' : `, ${count(Math.ceil(estimate.bytes / 1e6))} MB`
  lines.push(
    windows === 0
      ? 'nothing to plan'
      : `${count(windows)} windows: ${least}${count(estimate.calls)} provider calls, ${count(estimate.minutes)} minutes under the quota${bytes}`,
  )
  if (backfillId !== null) lines.push(`run it: tributary backfill run ${backfillId}`)
  return lines.join('\n')
}

function showList(backfills: readonly BackfillSummary[]): string {
  if (backfills.length === 0) return 'no backfill yet: tributary backfill plan --help'
  return table(
    ['backfill', 'state', 'streams', 'from', 'to', 'windows', 'left', 'failed', 'rows'],
    backfills.map((backfill) => [
      backfill.backfillId,
      stateOf(backfill),
      backfill.selector.streams.join(' '),
      day(backfill.from, 'origin'),
      day(backfill.to, 'live'),
      count(backfill.windows.windows),
      count(leftOf(backfill)),
      count(backfill.windows.failed),
      count(backfill.windows.rows),
    ]),
  )
}

const leftOf = ({ windows: { planned, underWay, landed } }: BackfillSummary) => planned + underWay + landed

const stateOf = ({ state, enqueuedAt }: BackfillSummary) =>
  state === 'active' && enqueuedAt !== null ? 'active, in the queue' : state

function showStatus(status: BackfillStatus): string {
  const { published, empty, planned, underWay, landed, held, cancelled, failed } = status.windows
  const lines = [
    showList([status]),
    '',
    `windows: ${published} published, ${empty} empty, ${underWay} under way, ${planned} planned, ${landed} landed, ${held} held, ${failed} failed, ${cancelled} cancelled`,
  ]
  if (status.waiting.length > 0) lines.push('left:', ...status.waiting.map(waitingLine))
  for (const { stream, lo, hi, state, sourceIngestId, error } of status.failed) {
    lines.push(`${state}: ${stream} ${day(lo)} … ${day(hi)} (ingest ${sourceIngestId})`, `  ${error}`)
  }
  if (status.workers === null) lines.push('workers: the table progress does not answer')
  else if (status.workers.length > 0) {
    lines.push(
      '',
      table(
        ['worker', 'state', 'heartbeat', 'windows', 'rows', 'calls', 'MB in memory'],
        status.workers.map(({ worker, state, silent, heartbeatAt, windows, rows, calls, maxRssBytes }) => [
          worker,
          silent ? 'silent' : state,
          heartbeatAt.slice(0, 19),
          count(windows),
          count(rows),
          count(calls),
          count(Math.ceil(maxRssBytes / 1e6)),
        ]),
      ),
    )
  }
  return lines.join('\n')
}
