import type { Command } from 'commander'
import { type Preview, previewStream } from '../../../shared/ingest/land/preview.ts'
import { previewWindow } from '../../../shared/ingest/land/preview-window.ts'
import { selectStream } from '../../../shared/ingest/plan/select-streams.ts'
import { formatInstant, type Instant } from '../../../shared/instant.ts'
import { count, table } from '../../table.ts'
import { type Cli, examples, onPlatform } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import { countValue, durationMsValue, instantValue } from '../option-values.ts'

type Options = { readonly from?: Instant; readonly to?: Instant; readonly pages: number; readonly wait: number }

export function registerPreview(program: Command, cli: Cli): void {
  program
    .command('preview')
    .description('ask the provider for a window and show what would become of its answer; nothing is kept')
    .argument('<stream>', 'name of a stream')
    .option('--from <instant>', 'where the window begins (default: seven days before its end)', instantValue)
    .option('--to <instant>', 'where it ends (default: the newest that is settled)', instantValue)
    .option('--pages <number>', 'pages asked for at most', countValue, 2)
    .option('--wait <duration>', 'how long to wait for the shared quota', durationMsValue, 30_000)
    .addHelpText(
      'after',
      examples(
        'tributary preview alpaca/bars/TSLA/1d',
        'tributary preview alpaca/bars/TSLA/1d --from 2021-01-04 --to 2021-01-09 --pages 1 --json',
      ),
    )
    .action(
      onPlatform(cli, async ({ platform, out, signal }, name: string, { from, to, pages, wait }: Options) => {
        const stream = await selectStream(platform.db, name)
        const window = await previewWindow(platform.db, stream, { from, to })
        const preview = await previewStream(platform, { stream, window, pagesMax: pages, waitMsMax: wait, signal })
        out.answer(preview, show)
        return preview.pages.some(({ problem }) => problem !== null) ? EXIT.failed : undefined
      }),
    )
}

function show(preview: Preview): string {
  const { stream, window, pages, records, rowCount, rows, outside, rejectCount, rejects } = preview
  const lines = [`${stream}  ${formatInstant(window.lo)} … ${formatInstant(window.hi)}`]
  for (const { request, status, contentType, bytes, records: found, problem } of pages) {
    lines.push('', `${request.method} ${request.url}`)
    lines.push(`  ${status} ${contentType ?? 'no content type'}, ${count(bytes)} bytes, ${found ?? 'no'} records`)
    if (problem !== null) lines.push(`  ${problem}`)
  }
  lines.push(
    '',
    `${count(records)} records: ${count(rowCount)} rows, ${rejectCount} rejects, ${outside} outside the window`,
  )
  const [first] = rows
  if (first !== undefined) {
    const names = Object.keys(first)
    const cells = rows.map((row) => names.map((name) => String(row[name])))
    lines.push('', table(names, cells))
  }
  for (const { page, ordinal, code, detail, record } of rejects) {
    lines.push(`reject: page ${page} record ${ordinal} ${code}: ${detail}  ${JSON.stringify(record)}`)
  }
  if (preview.fieldsNotRead.length > 0) lines.push(`fields not read: ${preview.fieldsNotRead.join(', ')}`)
  if (preview.columnsWithoutValue.length > 0) {
    lines.push(`columns without a value: ${preview.columnsWithoutValue.join(', ')}`)
  }
  lines.push(...preview.cut.map((what) => `cut: ${what}`))
  return lines.join('\n')
}
