import type { Command } from 'commander'
import { openTable } from '../../../shared/azure/tables.ts'
import { PROGRESS_TABLE } from '../../../shared/config/storage-names.ts'
import { ConfigError, DatabaseUnavailableError } from '../../../shared/errors.ts'
import { enqueueBackfill } from '../../../shared/ingest/backfill/enqueue.ts'
import { type Backfill, findBackfill, nextBackfill } from '../../../shared/ingest/backfill/find.ts'
import { remaining, type Waiting } from '../../../shared/ingest/backfill/outlook.ts'
import { type BackfillRun, type RunEnd, runBackfill } from '../../../shared/ingest/backfill/run.ts'
import { HINT_STALE_S } from '../../../shared/ingest/sweep.ts'
import { formatInstant } from '../../../shared/instant.ts'
import { withPipelineRun } from '../../../shared/ops/pipeline-run.ts'
import { startHeart } from '../../../shared/ops/progress.ts'
import type { Platform } from '../../../shared/platform.ts'
import { count } from '../../table.ts'
import { durationOption, wholeNumberOption } from '../backfill-options.ts'
import { type Cli, type CommandContext, examples, onPlatform } from '../command.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { createProgressBar, createProgressLines } from '../progress-bar.ts'

type RunFlags = {
  readonly next?: true
  readonly job?: true
  readonly enqueue?: true
  readonly concurrency: string
  readonly maxWait: string
  readonly stopAfter?: string
}

/** Told to stop, the process ends within this time, whatever hangs: half a minute later it is killed, ms. */
const STOP_MS_MAX = 19_000

export function registerBackfillRun(backfill: Command, cli: Cli): void {
  backfill
    .command('run')
    .description('work on a backfill until nothing of it is left; any number of workers may, also on several machines')
    .argument('[id]', 'id of the backfill')
    .option('--next', 'the oldest active backfill that has something to do, instead of an id')
    .option('--concurrency <windows>', 'windows worked on at a time', '4')
    .option('--max-wait <duration>', 'without progress for this long, give up for now (exit 75)', '15m')
    .option('--stop-after <duration>', 'end by then, with what is done')
    .option('--enqueue', 'hand the windows to the queue land, for the functions, and do nothing here')
    .option(
      '--job',
      'as a job that is started again unless it exits 0: wait for the quota, 0 also where windows failed',
    )
    .addHelpText(
      'after',
      `${examples(
        'tributary backfill run 0197c2aa-7c1e-7a35-8d6e-0d8f5b1c2a11',
        'tributary backfill run --next --concurrency 8',
        'tributary backfill run 0197c2aa-7c1e-7a35-8d6e-0d8f5b1c2a11 --enqueue',
      )}
Exit codes: 0 nothing is left, 1 windows failed (tributary backfill status <id> names them), 2 settings or usage,
75 what is left waits (quota, provider, paused), 143 stopped. Run it again to go on.
`,
    )
    .action(
      onPlatform(cli, async (context, id: string | undefined, flags: RunFlags) => {
        const backfill = await chosen(context.platform, id, flags)
        if (backfill === null) {
          context.out.answer({ backfillId: null, end: 'done' }, () => 'no backfill has anything to do')
          return EXIT.done
        }
        return flags.enqueue ? enqueue(context, backfill) : run(cli, context, backfill, flags)
      }),
    )
}

async function chosen({ db }: Platform, id: string | undefined, { next }: RunFlags): Promise<Backfill | null> {
  if ((id === undefined) === (next === undefined)) {
    throw new ConfigError([`backfill: expected an id or --next, got ${id === undefined ? 'neither' : 'both'}`])
  }
  return id === undefined ? nextBackfill(db) : findBackfill(db, id)
}

async function enqueue({ platform, out, actor }: CommandContext, { backfillId }: Backfill) {
  const sent = await enqueueBackfill(platform, { backfillId, actor, hintStaleS: HINT_STALE_S })
  out.answer(
    { backfillId, end: 'enqueued', hintsSent: sent },
    () => `backfill ${backfillId} is the queue's: ${count(sent)} hints sent now, the sweep sends the rest`,
  )
  return EXIT.done
}

async function run(cli: Cli, context: CommandContext, backfill: Backfill, flags: RunFlags): Promise<ExitCode> {
  const { platform, out, signal } = context
  const { backfillId } = backfill
  const concurrency = wholeNumberOption('--concurrency', flags.concurrency, { min: 1, max: 64 })
  const maxWaitMs = durationOption('--max-wait', flags.maxWait)
  const stopAfterMs = flags.stopAfter === undefined ? null : durationOption('--stop-after', flags.stopAfter)
  if (cli.platform === undefined) endInTime(signal)
  const onTerminal = cli.platform === undefined && !out.json && process.stderr.isTTY
  const view = onTerminal ? createProgressBar(process.stderr) : createProgressLines(backfillId, cli.streams.err)
  const table = openTable({ account: platform.settings.lakeStorage, table: PROGRESS_TABLE })
  const { log, worker } = platform
  try {
    const found = await withPipelineRun(platform, 'backfill', () =>
      runBackfill(platform, {
        backfill,
        concurrency,
        maxWaitMs,
        patient: flags.job === true,
        stop: signal,
        stopAfterMs,
        onProgress: view.show,
        watch(counts) {
          const heart = startHeart({ table, log, backfillId, worker, counts })
          return (end) => heart.stop(end)
        },
      }),
    )
    view.end()
    report(cli, context, backfill, found)
    return exitCodeOf(found.end, flags.job === true)
  } catch (error) {
    view.end()
    if (!(error instanceof DatabaseUnavailableError)) throw error
    cli.streams.err(`${error.message}; run it again when postgres is back\n`)
    return signal.aborted ? EXIT.stopped : EXIT.quota
  }
}

function report(cli: Cli, { out }: CommandContext, { backfillId }: Backfill, found: BackfillRun): void {
  const { end, outlook, mine, waiting } = found
  const { state, now: _, nextAt: __, ...windows } = outlook
  const answer = { backfillId, end, state, left: remaining(outlook), windows, mine, waiting, maxRssBytes: maxRss() }
  // The last line of a log without a terminal says what `--json` says on standard output.
  if (!process.stderr.isTTY) {
    cli.streams.err(
      `${JSON.stringify({ event: 'backfill_ended', backfillId, end, left: answer.left, ...mine, failed: windows.failed, maxRssBytes: answer.maxRssBytes })}\n`,
    )
  }
  out.answer(answer, () => [headline(backfillId, found), ...waiting.map(waitingLine)].join('\n'))
}

const maxRss = () => process.resourceUsage().maxRSS * 1024

function headline(backfillId: string, { end, outlook, mine }: BackfillRun): string {
  const { failed, held } = outlook
  const left = remaining(outlook)
  const says: Readonly<Record<RunEnd, string>> = {
    done: 'is done',
    failed: `is done but for ${failed} windows that failed: tributary backfill status ${backfillId} names them`,
    paused: `is paused, ${left} windows are left: tributary backfill resume ${backfillId}`,
    cancelled: 'was cancelled',
    waits: `waits, ${left} windows are left: run it again later`,
    stopped: `was left when told to stop, ${left} windows are left: run it again to go on`,
    time: `was left when the time was over, ${left} windows are left: run it again to go on`,
  }
  const heldText = held === 0 ? '' : `; ${held} windows are held until their streams are freed`
  return `backfill ${backfillId} ${says[end]}${heldText}; here ${count(mine.rows)} rows of ${count(mine.windows)} windows in ${count(mine.calls)} calls`
}

export function waitingLine({ stream, windows, until, reason }: Waiting): string {
  const time = until === null ? '' : ` until ${formatInstant(until)}`
  return `  ${stream}: ${windows} windows${time}, ${reason}`
}

/** As a job, only what a restart may cure is an error: failed windows are holes that raise their own alert. */
function exitCodeOf(end: RunEnd, job: boolean): ExitCode {
  switch (end) {
    case 'done':
      return EXIT.done
    case 'stopped':
      return EXIT.stopped
    case 'failed':
    case 'cancelled':
      return job ? EXIT.done : EXIT.failed
    case 'paused':
    case 'waits':
    case 'time':
      return job ? EXIT.done : EXIT.quota
  }
}

function endInTime(signal: AbortSignal): void {
  signal.addEventListener('abort', () => {
    setTimeout(() => process.exit(EXIT.stopped), STOP_MS_MAX).unref()
  })
}
