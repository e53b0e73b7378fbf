import type { Command } from 'commander'
import { formatDuration } from '../../../shared/duration.ts'
import { CancelledError } from '../../../shared/errors.ts'
import { selectStreams } from '../../../shared/ingest/plan/select-streams.ts'
import { type RunReport, type RunStep, runStreams } from '../../../shared/ingest/run-stream.ts'
import type { UnpublishedIngest } from '../../../shared/ingest/state/unpublished.ts'
import { formatInstant } from '../../../shared/instant.ts'
import { table } from '../../table.ts'
import { type Cli, examples, onPlatform } from '../command.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { durationMsValue } from '../option-values.ts'

const EXIT_OF = { published: EXIT.done, incomplete: EXIT.failed, quota: EXIT.quota } as const

export function registerRun(program: Command, cli: Cli): void {
  program
    .command('run')
    .description('plan, land and curate what is due of a stream here and now')
    .argument('<stream>', 'name of a stream, * for any text')
    .option('--timeout <duration>', 'give back what is not done by then', durationMsValue, 600_000)
    .addHelpText(
      'after',
      `
Functions may work on the same streams meanwhile: whoever claims an ingest first does it.
Exit codes: 0 all is published, 1 something failed or waits, 75 only the provider's quota is waited for.
${examples('tributary run alpaca/bars/TSLA/1d', "tributary run 'fred/*' --timeout 30m --json")}`,
    )
    .action(
      onPlatform(cli, async ({ platform, out, signal }, pattern: string, { timeout }: { timeout: number }) => {
        const streams = await selectStreams(platform.db, pattern)
        const report = await runStreams(platform, {
          streams,
          signal,
          timeoutMs: timeout,
          onStep: (step) => out.progress('step', step, showStep(step)),
        })
        if (report.end === 'stopped') throw new CancelledError('run: told to stop')
        out.answer(report, (all) => showReport(all, timeout))
        return EXIT_OF[report.end] satisfies ExitCode
      }),
    )
}

function showStep({ stream, lo, hi, worked, sourceIngestId }: RunStep): string {
  const what = lo === null || hi === null ? `ingest ${sourceIngestId}` : `${formatInstant(lo)} … ${formatInstant(hi)}`
  return `${stream}  ${what}  ${worked}`
}

function showReport({ end, timedOut, planned, worked, streams, left }: RunReport, timeoutMs: number): string {
  const steps = Object.entries(worked).map(([what, count]) => `${count} ${what}`)
  const lines = [
    table(
      ['stream', 'checkpoint', 'head', 'state'],
      streams.map(({ stream, checkpoint, head, pausedReason, heldReason }) => [
        stream,
        formatInstant(checkpoint),
        head === null ? 'nothing yet' : formatInstant(head),
        pausedReason !== null ? `paused: ${pausedReason}` : heldReason !== null ? `held: ${heldReason}` : 'runs',
      ]),
    ),
    '',
    `planned ${planned} windows; ${steps.join(', ') || 'there was nothing to do'}`,
    ...left.map(showLeft),
  ]
  if (timedOut) lines.push(`not done within ${formatDuration(timeoutMs / 1000)}; the same command goes on from here`)
  if (end === 'published') lines.push('all that is due is published')
  return lines.join('\n')
}

function showLeft(ingest: UnpublishedIngest): string {
  const { state, stream, sourceIngestId, lo, hi, subject, errorSummary, waitS } = ingest
  const what = lo === null || hi === null ? subject : `${formatInstant(lo)} … ${formatInstant(hi)}`
  const wait = waitS === null ? '' : `, next attempt in ${Math.ceil(waitS)} s`
  return `${state}  ${stream}  ${what}  ingest ${sourceIngestId}${wait}${errorSummary === null ? '' : `: ${errorSummary}`}`
}
