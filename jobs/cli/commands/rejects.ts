import type { Command } from 'commander'
import { ConfigError } from '../../../shared/errors.ts'
import { selectStream, selectStreams } from '../../../shared/ingest/plan/select-streams.ts'
import type { Preview } from '../../../shared/ingest/repair/reprocess.ts'
import { previewReplay } from '../../../shared/ingest/repair/reprocess-rejects.ts'
import { formatInstant } from '../../../shared/instant.ts'
import { readIngest } from '../../../shared/provenance/explain-ingest.ts'
import { checkOneSelection, listRejects, type RejectList, waiveRejects } from '../../../shared/provenance/rejects.ts'
import { count, table } from '../../table.ts'
import { type Cli, type CommandContext, examples, onPlatform } from '../command.ts'
import { countValue } from '../option-values.ts'
import { ingestId } from './explain.ts'
import { applyPreviews } from './reprocess.ts'

const LIST_MAX = 100

export function registerRejects(program: Command, cli: Cli): void {
  const rejects = program.command('rejects').description('records that do not fit the contract of their dataset')
  registerList(rejects, cli)
  registerWaive(rejects, cli)
  registerReplay(rejects, cli)
}

type ListOptions = { readonly code?: string; readonly ingest?: string; readonly all?: true; readonly limit: number }

function registerList(rejects: Command, cli: Cli): void {
  rejects
    .command('list')
    .description('the open ones, newest first, with what was wrong and what came')
    .argument('[stream]', 'name of a stream, * for any text', '*')
    .option('--code <code>', 'only these: missing, wrong_type, out_of_range, unreadable')
    .option('--ingest <id>', 'only those of one ingest', ingestId)
    .option('--all', 'also those that were replayed or waived')
    .option('--limit <n>', 'name at most so many', countValue, LIST_MAX)
    .addHelpText(
      'after',
      examples('tributary rejects list', "tributary rejects list 'fred/*' --code unreadable --json"),
    )
    .action(
      onPlatform(cli, async ({ platform, out }, pattern: string, options: ListOptions) => {
        const { code = null, ingest = null, all, limit } = options
        const streams = pattern === '*' ? null : await selectStreams(platform.db, pattern)
        const streamIds = streams?.map(({ streamId }) => streamId) ?? null
        const selection = { streamIds, sourceIngestId: ingest, code }
        out.answer(await listRejects(platform.db, selection, { states: all ? null : ['open'], limit }), showList)
        return undefined
      }),
    )
}

type WaiveOptions = { readonly code?: string; readonly ingest?: string; readonly reason: string }

function registerWaive(rejects: Command, cli: Cli): void {
  rejects
    .command('waive')
    .description('let open ones go: they stay in raw and in the list, and are no reason to worry any more')
    .argument('[stream]', 'name of a stream, * for any text')
    .option('--ingest <id>', 'those of one ingest instead', ingestId)
    .option('--code <code>', 'only these: missing, wrong_type, out_of_range, unreadable')
    .requiredOption('--reason <text>', 'why; kept in the audit')
    .addHelpText(
      'after',
      examples("tributary rejects waive alpaca/bars/TSLA/1d --code missing --reason 'halted that day'"),
    )
    .action(
      onPlatform(cli, async ({ platform, out, actor }, pattern: string | undefined, options: WaiveOptions) => {
        const { code = null, ingest, reason } = options
        checkOneSelection(pattern, ingest)
        const results: { readonly subject: string; readonly waived: number }[] = []
        for (const { subject, ...selection } of await subjectsOf(platform.db, pattern, ingest)) {
          const waived = await waiveRejects(platform.db, { ...selection, code }, { subject, actor, reason })
          results.push({ subject, waived })
        }
        out.answer(results, (all) => all.map(({ subject, waived }) => `${subject}: ${count(waived)} waived`).join('\n'))
        return undefined
      }),
    )
}

type ReplayOptions = {
  readonly ingest?: string
  readonly dryRun?: true
  readonly acceptRejects?: true
  readonly yes?: true
}

function registerReplay(rejects: Command, cli: Cli): void {
  rejects
    .command('replay')
    .description('read the stored pages again with the transform of today: what fits now comes into its files')
    .argument('[stream]', 'name of a stream, * for any text')
    .option('--ingest <id>', 'those of one ingest instead', ingestId)
    .option('--dry-run', 'show what would change and end')
    .option('--accept-rejects', 'also where more records break their contract now than a window may have')
    .option('--yes', 'do not ask before it is published')
    .addHelpText(
      'after',
      examples("tributary rejects replay 'alpaca/*' --dry-run", 'tributary rejects replay alpaca/bars/TSLA/1d --yes'),
    )
    .action(
      onPlatform(cli, async (context, pattern: string | undefined, options: ReplayOptions) => {
        checkOneSelection(pattern, options.ingest)
        const previews = await previewReplays(context, pattern, options.ingest)
        return applyPreviews(context, previews, { action: 'replay_rejects', ...options })
      }),
    )
}

async function previewReplays(
  { platform, out, signal }: CommandContext,
  pattern: string | undefined,
  ingest: string | undefined,
): Promise<readonly Preview[]> {
  const onPartition = ({ path }: { path: string }) => out.progress('compared', { path }, `compared ${path}`)
  const previews: Preview[] = []
  const streams =
    ingest === undefined
      ? await selectStreams(platform.db, pattern ?? '*')
      : [await selectStream(platform.db, (await readIngest(platform.db, ingest)).stream)]
  for (const stream of streams) {
    previews.push(await previewReplay(platform, stream, ingest ?? null, { signal, onPartition }))
  }
  return previews
}

async function subjectsOf(
  db: CommandContext['platform']['db'],
  pattern: string | undefined,
  ingest: string | undefined,
) {
  if (ingest !== undefined) {
    const { stream } = await readIngest(db, ingest)
    return [{ subject: `${stream} ingest ${ingest}`, streamIds: null, sourceIngestId: ingest }]
  }
  if (pattern === undefined) throw new ConfigError(['rejects: expected a stream or --ingest, got neither'])
  const streams = await selectStreams(db, pattern)
  return streams.map(({ name, streamId }) => ({ subject: name, streamIds: [streamId], sourceIngestId: null }))
}

function showList({ counts, rejects }: RejectList): string {
  if (counts.length === 0) return 'no rejects'
  const total = counts.reduce((sum, one) => sum + one.count, 0)
  const lines = [
    table(
      ['stream', 'code', 'state', 'count'],
      counts.map((one) => [one.stream, one.code, one.state, count(one.count)]),
    ),
  ]
  for (const {
    rejectId,
    stream,
    sourceIngestId,
    pageNo,
    ordinal,
    code,
    detail,
    record,
    state,
    createdAt,
    rawPath,
  } of rejects) {
    lines.push(
      '',
      `${rejectId} ${code} ${stream} ${formatInstant(createdAt)}${state === 'open' ? '' : ` ${state}`}`,
      `  ${detail}`,
      `  ${JSON.stringify(record)}`,
      `  record ${ordinal} of page ${pageNo} of ingest ${sourceIngestId}${rawPath === null ? '' : `, ${rawPath}`}`,
    )
  }
  if (rejects.length < total) lines.push('', `and ${count(total - rejects.length)} more (--limit)`)
  return lines.join('\n')
}
