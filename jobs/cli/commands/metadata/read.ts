import type { Command } from 'commander'
import { ConfigError } from '../../../../shared/errors.ts'
import type { Instant } from '../../../../shared/instant.ts'
import { instantText } from '../../../../shared/metadata/model/instant-text.ts'
import type { MetadataRecord } from '../../../../shared/metadata/model/record.ts'
import {
  type LatestRecord,
  type RecordFilter,
  type RecordPage,
  SERIES_MAX,
  type Series,
} from '../../../../shared/metadata/model/repository.ts'
import { overlappingFiles } from '../../../../shared/metadata/retention/overlapping-files.ts'
import { count } from '../../../table.ts'
import { type Cli, type CommandContext, examples } from '../../command.ts'
import { EXIT, type ExitCode } from '../../exit-codes.ts'
import { instantValue } from '../../option-values.ts'
import { onMetadata, tenantOf } from './on-metadata.ts'
import {
  extraValue,
  kindValue,
  pageLimitValue,
  TARGET_HELP,
  TENANT_HELP,
  targetText,
  targetValue,
  tenantValue,
} from './options.ts'
import { readAll } from './read-all.ts'
import { showRecord, showRecords } from './show-record.ts'

export function registerReads(metadata: Command, cli: Cli): void {
  registerLatest(metadata, cli)
  registerHistory(metadata, cli)
  registerQuery(metadata, cli)
}

type Target = Series['target']
type LatestOptions = { readonly kind?: string; readonly scope?: string; readonly tenant?: string }

function registerLatest(metadata: Command, cli: Cli): void {
  metadata
    .command('latest')
    .description('what is said last about a target; exit code 1 where nothing is')
    .argument('<target>', TARGET_HELP, targetValue)
    .option('--kind <kind>', 'only this kind (default: every kind that there is)', kindValue)
    .option('--scope <scope>', 'of this slice of it (default: the whole target)')
    .option('--tenant <tenant>', TENANT_HELP, tenantValue)
    .addHelpText(
      'after',
      examples(
        'tributary metadata latest alpaca/bars/TSLA/1d',
        'tributary metadata latest alpaca/bars/TSLA/1d --kind ingestion_volume --json',
      ),
    )
    .action(
      onMetadata(cli, async ({ platform, out }, target: Target, { kind, scope, tenant }: LatestOptions) => {
        const repository = await platform.metadata.repository(tenantOf(platform, tenant))
        const kinds = kind === undefined ? await everyKind(platform) : [kind]
        const found = await repository.latestOfMany(kinds.map((each) => ({ target, kind: each, scope })))
        const latest = found.filter((each): each is LatestRecord => each !== null)
        out.answer({ target, latest }, () =>
          latest.length === 0
            ? `nothing is said about ${targetText(target)}${kind === undefined ? '' : ` as ${kind}`}`
            : latest.map(({ record }) => showRecord(record)).join('\n\n'),
        )
        return latest.length === 0 ? EXIT.failed : undefined
      }),
    )
}

async function everyKind({ metadata }: CommandContext['platform']): Promise<readonly string[]> {
  await metadata.kinds.refresh()
  return [...metadata.kinds.known().keys()].slice(0, SERIES_MAX)
}

type PageOptions = {
  readonly from?: Instant
  readonly to?: Instant
  readonly limit?: number
  readonly after?: string
  readonly all?: true
  readonly tenant?: string
}
type HistoryOptions = PageOptions & { readonly kind: string; readonly scope?: string }

function registerHistory(metadata: Command, cli: Cli): void {
  const history = metadata
    .command('history')
    .description('what was said about a target in records of one kind, newest first')
    .argument('<target>', TARGET_HELP, targetValue)
    .requiredOption('--kind <kind>', 'records of this kind', kindValue)
    .option('--scope <scope>', 'of this slice of it (default: the whole target)')
  withPageOptions(history)
    .addHelpText(
      'after',
      examples(
        'tributary metadata history alpaca/bars/TSLA/1d --kind ingestion_volume',
        'tributary metadata history alpaca/bars/TSLA/1d --kind ingestion_volume --all --from 2020-01-01 --json',
      ),
    )
    .action(
      onMetadata(cli, async (context, target: Target, { kind, scope = '', ...options }: HistoryOptions) => {
        return answerRecords(context, { kind, target, scope, ...timesOf(options) }, options)
      }),
    )
}

type QueryOptions = PageOptions & {
  readonly kind?: string
  readonly target?: Target
  readonly scope?: string
  readonly run?: string
  readonly job?: string
  readonly producer?: string
  readonly outcome?: string
  readonly extra?: Readonly<Record<string, string>>
}

function registerQuery(metadata: Command, cli: Cli): void {
  const query = metadata
    .command('query')
    .description('records that fit every condition, newest first')
    .option('--kind <kind>', 'records of this kind', kindValue)
    .option('--target <target>', TARGET_HELP, targetValue)
    .option('--scope <scope>', 'of this slice')
    .option('--run <id>', 'of this run')
    .option('--job <id>', 'of this job')
    .option('--producer <id>', 'told by this producer')
    .option('--outcome <outcome>', 'with this outcome')
    .option('--extra <name=value...>', 'with this value of an extra that the kind declares; needs --kind', extraValue)
  withPageOptions(query)
    .addHelpText(
      'after',
      examples(
        'tributary metadata query --kind ingestion_runtime --outcome fail --from 2026-01-01',
        'tributary metadata query --kind ingestion_volume --extra lane=backfill --all --json',
        'tributary metadata query --run 01987c3e-0000-7000-8000-000000000000',
      ),
    )
    .action(onMetadata(cli, (context, options: QueryOptions) => answerRecords(context, filterOf(options), options)))
}

function withPageOptions(command: Command): Command {
  return command
    .option('--from <instant>', 'effective from here on, as 2026-01-31 or 2026-01-31T00:00:00Z', instantValue)
    .option('--to <instant>', 'effective before', instantValue)
    .option('--limit <n>', 'at most so many, 500 at most (default: 50)', pageLimitValue)
    .option('--after <cursor>', 'go on where a page ended')
    .option('--all', 'every one, also those that have moved to compacted files')
    .option('--tenant <tenant>', TENANT_HELP, tenantValue)
}

function timesOf({ from, to }: PageOptions): Pick<RecordFilter, 'from' | 'to'> {
  return { ...(from !== undefined && { from: instantText(from) }), ...(to !== undefined && { to: instantText(to) }) }
}

function filterOf(options: QueryOptions): RecordFilter {
  const { kind, target, scope, run: runId, job: jobId, producer: producerId, outcome, extra: extras } = options
  return { kind, target, scope, runId, jobId, producerId, outcome, extras, ...timesOf(options) }
}

async function answerRecords(
  context: CommandContext,
  filter: RecordFilter,
  { all, limit, after, tenant: named }: PageOptions,
): Promise<ExitCode | undefined> {
  const { platform, out } = context
  const tenant = tenantOf(platform, named)
  if (!all) {
    const repository = await platform.metadata.repository(tenant)
    await platform.metadata.kinds.refresh()
    const page = await repository.query(filter, { limit, after })
    const compacted = await compactedFiles(platform, tenant, filter)
    out.answer({ ...page, compacted }, () => showPage(page, compacted))
    return undefined
  }
  if (limit !== undefined || after !== undefined) {
    throw new ConfigError(['metadata: expected --all, or --limit and --after, got both'])
  }
  const { kind } = filter
  if (kind === undefined) throw new ConfigError(['metadata query --all: expected --kind, got none'])
  const records = await readAll(context, tenant, { ...filter, kind })
  out.answer({ records, next: null, compacted: [] }, () => showAll(records))
  return undefined
}

/** Files that may hold more than the table has. */
async function compactedFiles(
  { metadata }: CommandContext['platform'],
  tenant: string,
  { kind, from, to }: RecordFilter,
): Promise<readonly string[]> {
  const { store } = metadata
  return store === null ? [] : overlappingFiles(store.db, tenant, kind ?? null, from ?? null, to ?? null)
}

function showPage({ records, next }: RecordPage, compacted: readonly string[]): string {
  const lines = [records.length === 0 ? 'no records' : showRecords(records)]
  if (next !== null) lines.push('', `more: --after ${next}`)
  if (compacted.length > 0) lines.push('', `${count(compacted.length)} compacted files may hold more: --all reads them`)
  return lines.join('\n')
}

function showAll(records: readonly MetadataRecord[]): string {
  return records.length === 0 ? 'no records' : `${showRecords(records)}\n\n${count(records.length)} records`
}
