import { createInterface } from 'node:readline/promises'
import type { Command } from 'commander'
import { ConfigError } from '../../../shared/errors.ts'
import { selectStreams } from '../../../shared/ingest/plan/select-streams.ts'
import {
  changesNothing,
  changesOf,
  checkAllowed,
  type Preview,
  previewReprocess,
  type Reprocessed,
  runReprocess,
} from '../../../shared/ingest/repair/reprocess.ts'
import type { Instant } from '../../../shared/instant.ts'
import { count, table } from '../../table.ts'
import { type Cli, type CommandContext, examples, onPlatform } from '../command.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { instantValue } from '../option-values.ts'

type ReprocessOptions = {
  readonly from?: Instant
  readonly to?: Instant
  readonly outdated?: true
  readonly dryRun?: true
  readonly acceptRejects?: true
  readonly yes?: true
}

export function registerReprocess(program: Command, cli: Cli): void {
  program
    .command('reprocess')
    .description('make curated files again from their raw pages, with the transform of today; no provider is asked')
    .argument('<stream>', 'name of a stream, * for any text')
    .option(
      '--from <instant>',
      'only files that hold time from here on, as 2001-01-31 or 2001-01-31T00:00:00Z',
      instantValue,
    )
    .option('--to <instant>', 'only files that hold time before', instantValue)
    .option('--outdated', 'only files that an older transform made')
    .option('--dry-run', 'show what would change and end')
    .option('--accept-rejects', 'also where more records break their contract now than a window may have')
    .option('--yes', 'do not ask before it is published')
    .addHelpText(
      'after',
      examples(
        'tributary reprocess alpaca/bars/TSLA/1d --dry-run',
        "tributary reprocess 'alpaca/*' --outdated --yes",
        'tributary reprocess alpaca/bars/TSLA/1m --from 2024-01-01 --to 2024-04-01',
      ),
    )
    .action(
      onPlatform(cli, async (context, pattern: string, options: ReprocessOptions) => {
        const { platform, out, signal } = context
        const selection = {
          lo: options.from ?? null,
          hi: options.to ?? null,
          outdated: options.outdated ?? false,
        }
        const previews: Preview[] = []
        for (const stream of await selectStreams(platform.db, pattern)) {
          const onPartition = ({ path }: { path: string }) =>
            out.progress('compared', { stream: stream.name, path }, `compared ${path}`)
          previews.push(await previewReprocess(platform, stream, selection, { signal, onPartition }))
        }
        return applyPreviews(context, previews, { action: 'reprocess', ...options })
      }),
    )
}

export type ApplyOptions = {
  /** Of the audit rows. */
  readonly action: string
  readonly dryRun?: boolean
  readonly acceptRejects?: boolean
  readonly yes?: boolean
}

/** Shows the difference, asks, does it, and says what came of it. */
export async function applyPreviews(
  { platform, out, signal, actor }: CommandContext,
  previews: readonly Preview[],
  { dryRun, acceptRejects = false, yes, action }: ApplyOptions,
): Promise<ExitCode | undefined> {
  const problems = previews.some(({ partitions }) => partitions.some(({ problem }) => problem !== null))
  const ends = problems ? EXIT.failed : undefined
  const nothing = previews.every(changesNothing)
  if (!dryRun && !nothing) checkAllowed(previews, { acceptRejects })
  if (dryRun || nothing) {
    out.answer({ applied: false, streams: previews.map(describe) }, () => previews.map(showPreview).join('\n\n'))
    return ends
  }
  for (const preview of previews) out.progress('difference', describe(preview), showPreview(preview))
  if (!yes && !(await agreed(out.json, signal))) {
    out.answer({ applied: false, streams: previews.map(describe) }, () => 'nothing was changed')
    return ends
  }
  const done: { preview: Preview; result: Reprocessed }[] = []
  for (const preview of previews) {
    const onDone = ({ partitionKey, state }: Reprocessed['rebuilds'][number]) =>
      out.progress('rebuilt', { partitionKey, state }, `${state} ${partitionKey}`)
    done.push({ preview, result: await runReprocess(platform, preview, { actor, action, signal, onDone }) })
  }
  out.answer(
    { applied: true, streams: done.map(({ preview, result }) => ({ ...describe(preview), ...named(result) })) },
    () => done.map(showDone).join('\n\n'),
  )
  const left = done.some(({ result }) => result.rebuilds.some(({ state }) => state !== 'published'))
  return left ? EXIT.failed : ends
}

async function agreed(json: boolean, signal: AbortSignal): Promise<boolean> {
  if (json || !process.stdin.isTTY) {
    throw new ConfigError(['reprocess: expected --yes where nobody can be asked, got no terminal; nothing was changed'])
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return /^y(es)?$/i.test(await terminal.question('publish this? [y/N] ', { signal }))
  } finally {
    terminal.close()
  }
}

function describe(preview: Preview) {
  const { target, partitions, rejects } = preview
  const sum = (of: (one: (typeof rejects)[number]) => number) => rejects.reduce((total, one) => total + of(one), 0)
  return {
    stream: target.stream.name,
    transformVersion: target.transformVersion,
    rejects: {
      before: sum(({ before }) => before),
      now: sum(({ now }) => now),
      overLimit: rejects.flatMap(({ overLimit }) => overLimit ?? []),
    },
    partitions,
  }
}

const named = ({ rebuilds, rejects }: Reprocessed) => ({ rebuilds, settledRejects: rejects })

function showPreview(preview: Preview): string {
  const { stream, transformVersion, rejects, partitions } = describe(preview)
  const changes = changesOf(preview)
  const lines = [
    `${stream}: ${changes.length} of ${partitions.length} files would change (transform version ${transformVersion})`,
  ]
  if (changes.length > 0) {
    const head = ['file', 'transform', 'rows added', 'changed', 'removed', 'unchanged', 'bytes']
    const rows = changes.map(({ path, rows, transformVersionBefore, bytesBefore, bytesAfter }) => [
      path,
      `${transformVersionBefore ?? '-'} → ${transformVersion}`,
      ...[rows?.added, rows?.changed, rows?.removed, rows?.unchanged].map(countOf),
      `${countOf(bytesBefore)} → ${count(bytesAfter)}`,
    ])
    lines.push(table(head, rows))
  }
  for (const { path, joining } of changes) {
    if (joining.length > 0) lines.push(`${path} gets rows of ${joining.length} ingests that were not in it`)
  }
  for (const { path, problem } of partitions) if (problem !== null) lines.push(`${path} cannot be made: ${problem}`)
  if (rejects.before + rejects.now > 0) lines.push(`rejects: ${count(rejects.before)} → ${count(rejects.now)}`)
  return [...lines, ...rejects.overLimit].join('\n')
}

function showDone({ preview, result }: { preview: Preview; result: Reprocessed }): string {
  const { rebuilds, rejects } = result
  const head = ['partition', 'state', 'rows added', 'changed', 'removed', 'unchanged', 'ingest']
  const lines = [`${preview.target.stream.name}: ${count(rebuilds.length)} rebuilds`]
  if (rebuilds.length > 0) {
    const rows = rebuilds.map(({ partitionKey, state, added, changed, removed, unchanged, sourceIngestId }) => [
      partitionKey,
      state,
      ...[added, changed, removed, unchanged].map(countOf),
      sourceIngestId,
    ])
    lines.push(table(head, rows))
  }
  for (const { sourceIngestId, state, error } of rebuilds) {
    if (state === 'published') continue
    lines.push(`ingest ${sourceIngestId} is ${state}${error === null ? '' : `: ${error}`}`)
    if (state === 'planned' || state === 'curating') lines.push('  the sweep goes on with it')
  }
  if (rejects.replayed + rejects.opened > 0) {
    lines.push(`rejects: ${count(rejects.replayed)} replayed, ${count(rejects.opened)} new`)
  }
  return lines.join('\n')
}

const countOf = (value: number | null | undefined) => (value === null || value === undefined ? '?' : count(value))
