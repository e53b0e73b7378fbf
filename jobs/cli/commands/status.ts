import type { Command } from 'commander'
import { readStatus, type Status } from '../../../shared/ops/status.ts'
import { count, table } from '../../table.ts'
import { type Cli, examples, onPlatform } from '../command.ts'
import { EXIT } from '../exit-codes.ts'

export function registerStatus(program: Command, cli: Cli): void {
  program
    .command('status')
    .description('what is published until when, what is missing and why, what is wrong')
    .option('--check', 'exit 1 where an alert is open')
    .addHelpText(
      'after',
      examples('tributary status', 'tributary status --json | jq .alerts', 'tributary status --check'),
    )
    .action(
      onPlatform(cli, async ({ platform, out }, { check }: { check?: true }) => {
        const status = await readStatus(platform.db)
        out.answer(status, showStatus)
        return check && status.alerts.length > 0 ? EXIT.failed : undefined
      }),
    )
}

function showStatus({ streams, ingests, openRejects, alerts }: Status): string {
  const lines = [
    table(
      ['stream', 'rows', 'checkpoint', 'head', 'missing'],
      streams.map(({ stream, rows, checkpoint, head, holes, pausedReason, heldReason }) => [
        stream,
        count(rows),
        checkpoint.slice(0, 16),
        head === null ? 'nothing yet' : head.slice(0, 16),
        [
          holes.length === 0 ? 'nothing' : holes.length === 1 ? '1 hole' : `${holes.length} holes`,
          ...(pausedReason === null ? [] : [`paused: ${pausedReason}`]),
          ...(heldReason === null ? [] : [`held: ${heldReason}`]),
        ].join(', '),
      ]),
    ),
  ]
  for (const { stream, holes } of streams) {
    for (const { lo, hi, reason, sourceIngestId } of holes) {
      lines.push(
        '',
        `hole of ${stream}: ${lo} … ${hi}`,
        `  ${reason}${sourceIngestId ? ` (ingest ${sourceIngestId})` : ''}`,
      )
    }
  }
  const states = Object.entries(ingests).filter(([, number]) => number > 0)
  lines.push('', `ingests: ${states.map(([state, number]) => `${count(number)} ${state}`).join(', ') || 'none yet'}`)
  if (openRejects > 0) lines.push(`rejects: ${count(openRejects)} open`)
  lines.push(alerts.length === 0 ? 'alerts: none open' : `alerts: ${alerts.length} open`)
  for (const { kind, severity, subject, openedAt, detail } of alerts) {
    lines.push(`  ${severity} ${kind} ${subject} since ${openedAt}: ${JSON.stringify(detail)}`)
  }
  return lines.join('\n')
}
