import type { Command } from 'commander'
import { formatRanges } from '../../../shared/ingest/plan/accept-coverage.ts'
import { selectStream } from '../../../shared/ingest/plan/select-streams.ts'
import { type Reset, resetCoverage } from '../../../shared/ingest/state/reset-state.ts'
import { readStreamState, type StreamState } from '../../../shared/ingest/state/stream-state.ts'
import { formatInstant, type Instant } from '../../../shared/instant.ts'
import { type Cli, examples, onPlatform } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import { instantValue } from '../option-values.ts'

type ResetOptions = { readonly from: Instant; readonly reason: string; readonly yes?: true }

export function registerState(program: Command, cli: Cli): void {
  const state = program.command('state').description('what the database remembers of a stream')
  state
    .command('show')
    .description('coverage, checkpoint, and when it is planned next')
    .argument('<stream>', 'name of a stream')
    .addHelpText('after', examples('tributary state show alpaca/bars/TSLA/1d'))
    .action(
      onPlatform(cli, async ({ platform, out }, name: string) => {
        const { streamId } = await selectStream(platform.db, name)
        out.answer(await readStreamState(platform.db, streamId), showState)
        return undefined
      }),
    )
  state
    .command('reset')
    .description('take the coverage of a paused stream back, so that it is asked for and merged again')
    .argument('<stream>', 'name of a stream that is paused')
    .requiredOption(
      '--from <instant>',
      'coverage from here on is taken back: a date (00:00Z) or an instant',
      instantValue,
    )
    .requiredOption('--reason <text>', 'why; kept in the audit')
    .option('--yes', 'do it; without, the difference is shown and nothing changes')
    .addHelpText(
      'after',
      `
Curated files and accepted holes stay; no ingest is cancelled. Resume the stream to have it planned again.
${examples("tributary state reset alpaca/bars/TSLA/1d --from 2024-01-01 --reason 'the provider restated the year' --yes")}`,
    )
    .action(
      onPlatform(cli, async ({ platform, out, actor }, name: string, { from, reason, yes }: ResetOptions) => {
        const stream = await selectStream(platform.db, name)
        const reset = await resetCoverage(platform.db, { stream, from, reason, actor, apply: yes === true })
        out.answer(reset, showReset)
        if (yes) return undefined
        out.progress('not_applied', { stream: stream.name }, 'nothing was changed: expected --yes to do it, got none')
        return EXIT.usage
      }),
    )
}

function showState(state: StreamState): string {
  const at = (instant: Instant | null) => (instant === null ? 'none' : formatInstant(instant))
  const { stream, pausedReason, heldReason, origin, until, checkpoint, head, fetched, published, accepted } = state
  return [
    stream,
    ...(pausedReason === null ? [] : [`paused        ${pausedReason}`]),
    ...(heldReason === null ? [] : [`held          ${heldReason}`]),
    `origin        ${at(origin)}`,
    `until         ${until === null ? 'now' : at(until)}`,
    `checkpoint    ${at(checkpoint)}`,
    `head          ${at(head)}`,
    `fetched       ${formatRanges(fetched)}`,
    `published     ${formatRanges(published)}`,
    `accepted      ${formatRanges(accepted)}`,
    `planned until ${at(state.plannedUntil)}`,
    `next plan     ${at(state.nextPlanAt)}`,
    `next lookback ${at(state.nextLookbackAt)}`,
  ].join('\n')
}

function showReset({ stream, from, applied, before, after, taken, failed }: Reset): string {
  const nothing = taken.fetched.length === 0 && taken.published.length === 0
  if (nothing) return `${stream}: nothing is covered from ${formatInstant(from)} on, there is nothing to reset`
  const lines = [
    stream,
    `  fetched     - ${formatRanges(taken.fetched)}`,
    `  published   - ${formatRanges(taken.published)}`,
    `  checkpoint  ${formatInstant(before.checkpoint)} becomes ${formatInstant(after.checkpoint)}`,
  ]
  if (failed > 0) lines.push(`  ${failed} failed ingests there keep their windows: tributary quarantine replay`)
  lines.push(applied ? 'reset; resume the stream to have it planned again' : 'not done yet')
  return lines.join('\n')
}
