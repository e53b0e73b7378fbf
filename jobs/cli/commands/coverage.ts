import type { Command } from 'commander'
import { ConfigError } from '../../../shared/errors.ts'
import {
  acceptCoverage,
  type CoverageChange,
  formatRanges,
  unacceptCoverage,
} from '../../../shared/ingest/plan/accept-coverage.ts'
import { type SelectedStream, selectStream } from '../../../shared/ingest/plan/select-streams.ts'
import { formatInstant, type Instant, parseInstant } from '../../../shared/instant.ts'
import { readStatus, type Status } from '../../../shared/ops/status.ts'
import { type Cli, examples, onPlatform } from '../command.ts'
import { BAR_LEGEND, coverageBar } from '../coverage-bar.ts'
import { instantValue } from '../option-values.ts'

type Change = { readonly from: Instant; readonly to: Instant; readonly reason: string }

export function registerCoverage(program: Command, cli: Cli): void {
  const coverage = program
    .command('coverage')
    .description('what is fetched, published, accepted and missing of a stream')
  coverage
    .command('show')
    .description('a map over time, and every hole with its reason')
    .argument('<stream>', 'name of a stream')
    .addHelpText('after', examples('tributary coverage show alpaca/bars/TSLA/1d'))
    .action(
      onPlatform(cli, async ({ platform, out }, name: string) => {
        const stream = await selectStream(platform.db, name)
        const status = (await readStatus(platform.db)).streams.find((one) => one.stream === stream.name)
        if (status === undefined) throw new ConfigError([`stream ${stream.name}: expected it to be there, it is gone`])
        out.answer(describe(stream, status), show)
        return undefined
      }),
    )
  for (const [verb, change, description, done] of [
    ['accept', acceptCoverage, 'a hole will not be filled: leave it out, with a reason', 'accepted'],
    ['unaccept', unacceptCoverage, 'take back what was accepted: it is planned again', 'no longer accepted'],
  ] as const) {
    coverage
      .command(verb)
      .description(description)
      .argument('<stream>', 'name of a stream')
      .requiredOption('--from <instant>', 'where it begins: a date (00:00Z) or an instant', instantValue)
      .requiredOption('--to <instant>', 'where it ends, itself not part of it', instantValue)
      .requiredOption('--reason <text>', 'why; kept in the audit')
      .addHelpText(
        'after',
        examples(
          `tributary coverage ${verb} alpaca/bars/TSLA/1d --from 2021-01-04 --to 2021-01-06 --reason 'the provider has none'`,
        ),
      )
      .action(
        onPlatform(cli, async ({ platform, out, actor }, name: string, { from, to, reason }: Change) => {
          const stream = await selectStream(platform.db, name)
          const result = await change(platform.db, { stream, window: { lo: from, hi: to }, reason, actor })
          out.answer(result, (all) => showChange(all, done))
          return undefined
        }),
      )
  }
}

function describe(
  { name, origin, until, fetched, published, accepted }: SelectedStream,
  status: Status['streams'][number],
) {
  const { checkpoint, head, holes, paused, pausedReason } = status
  const ends = [...published, ...fetched, ...accepted].map(({ hi }) => hi)
  for (const { hi } of holes) ends.push(parseInstant(hi) ?? origin)
  const end = ends.reduce((latest, hi) => (hi > latest ? hi : latest), origin)
  return {
    stream: name,
    origin,
    until,
    end,
    checkpoint,
    head,
    paused,
    pausedReason,
    fetched,
    published,
    accepted,
    holes,
  }
}

function show(coverage: ReturnType<typeof describe>): string {
  const { stream, origin, end, checkpoint, head, paused, pausedReason, fetched, published, accepted, holes } = coverage
  const lines = [
    stream,
    `${formatInstant(origin)} ${coverageBar({ published, accepted, fetched }, origin, end)} ${formatInstant(end)}`,
    BAR_LEGEND,
    '',
    `fetched     ${formatRanges(fetched)}`,
    `published   ${formatRanges(published)}`,
    `accepted    ${formatRanges(accepted)}`,
    `checkpoint  ${checkpoint}`,
    `head        ${head ?? 'nothing published yet'}`,
  ]
  if (paused) lines.push(`paused      ${pausedReason}`)
  lines.push('', holes.length === 0 ? 'no holes' : 'holes:')
  for (const { lo, hi, reason, sourceIngestId } of holes) {
    lines.push(`  ${lo} … ${hi}  ${reason}${sourceIngestId === null ? '' : ` (ingest ${sourceIngestId})`}`)
  }
  return lines.join('\n')
}

function showChange({ stream, changed, checkpoint, waiting }: CoverageChange, done: string): string {
  const what = changed.length === 0 ? 'nothing to change' : `${formatRanges(changed)} ${done}`
  const lines = [`${stream}: ${what}; its checkpoint is ${formatInstant(checkpoint)}`]
  if (done !== 'accepted') {
    for (const { sourceIngestId, state } of waiting) {
      lines.push(
        `ingest ${sourceIngestId} in it is ${state} and not planned again: tributary quarantine replay ${sourceIngestId}`,
      )
    }
  }
  return lines.join('\n')
}
