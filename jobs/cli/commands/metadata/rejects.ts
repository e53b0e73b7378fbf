import { type Command, InvalidArgumentError } from 'commander'
import { ConfigError } from '../../../../shared/errors.ts'
import { formatInstant } from '../../../../shared/instant.ts'
import { sample } from '../../../../shared/json.ts'
import {
  type KeptReject,
  listMetadataRejects,
  type RejectFilter,
  replayMetadataRejects,
  waiveMetadataRejects,
} from '../../../../shared/metadata/outbox/rejects.ts'
import { count } from '../../../table.ts'
import { type Cli, examples } from '../../command.ts'
import { countValue } from '../../option-values.ts'
import { onMetadata } from './on-metadata.ts'
import { REASON_HELP, tenantValue } from './options.ts'

const LIST_MAX = 100
const RECORD_CHARS = 300

const CODES = 'only these: record-schema-invalid, idempotency-conflict, revision-gap, …'

type ListOptions = {
  readonly code?: string
  readonly tenant?: string
  readonly all?: true
  readonly limit: number
}

export function registerMetadataRejects(metadata: Command, cli: Cli): void {
  const rejects = metadata
    .command('rejects')
    .description('records that were told and not stored, of every tenant of this deployment')
  rejects
    .command('list')
    .description('the open ones, newest first, with what was wrong and what came')
    .option('--code <code>', CODES)
    .option('--tenant <tenant>', 'only of this tenant', tenantValue)
    .option('--all', 'also those that were replayed or waived')
    .option('--limit <n>', 'name at most so many', countValue, LIST_MAX)
    .addHelpText(
      'after',
      examples('tributary metadata rejects list', 'tributary metadata rejects list --code idempotency-conflict --json'),
    )
    .action(
      onMetadata(cli, async ({ platform, out }, { code, tenant, all, limit }: ListOptions) => {
        const filter = { tenant: tenant ?? null, code: code ?? null, rejectIds: null }
        out.answer(await listMetadataRejects(platform.db, filter, { states: all ? null : ['open'], limit }), showList)
        return undefined
      }),
    )
  registerReplay(rejects, cli)
  registerWaive(rejects, cli)
}

type ChangeOptions = {
  readonly code?: string
  readonly tenant?: string
  readonly all?: true
  readonly reason: string
}

function registerReplay(rejects: Command, cli: Cli): void {
  withSelection(
    rejects.command('replay').description('give open ones to the outbox again: what is wrong still opens another'),
  )
    .addHelpText(
      'after',
      examples(
        "tributary metadata rejects replay 17 18 --reason 'the kind is registered now'",
        "tributary metadata rejects replay --code unknown-kind --reason 'the kind is registered now'",
      ),
    )
    .action(
      onMetadata(cli, async ({ platform, out, actor }, ids: readonly number[], options: ChangeOptions) => {
        const by = { actor, reason: options.reason }
        const replayed = await replayMetadataRejects(platform.db, selectionOf(ids, options), by)
        if (replayed > 0) await platform.bus.announce()
        out.answer({ replayed }, () => `${count(replayed)} given to the outbox again`)
        return undefined
      }),
    )
}

function registerWaive(rejects: Command, cli: Cli): void {
  withSelection(rejects.command('waive').description('let open ones go: they stay in the list --all'))
    .addHelpText('after', examples("tributary metadata rejects waive 17 --reason 'a test of the producer'"))
    .action(
      onMetadata(cli, async ({ platform, out, actor }, ids: readonly number[], options: ChangeOptions) => {
        const by = { actor, reason: options.reason }
        const waived = await waiveMetadataRejects(platform.db, selectionOf(ids, options), by)
        out.answer({ waived }, () => `${count(waived)} waived`)
        return undefined
      }),
    )
}

function withSelection(command: Command): Command {
  return command
    .argument('[id...]', 'numbers as metadata rejects list shows them', rejectId)
    .option('--code <code>', CODES)
    .option('--tenant <tenant>', 'those of this tenant', tenantValue)
    .option('--all', 'every open one')
    .requiredOption('--reason <text>', REASON_HELP)
}

function rejectId(text: string, before: readonly number[] = []): readonly number[] {
  if (/^\d{1,15}$/.test(text)) return [...before, Number(text)]
  throw new InvalidArgumentError('expected the number of a reject')
}

/** Everything is only meant where it is said. */
function selectionOf(ids: readonly number[], { code, tenant, all }: ChangeOptions): RejectFilter {
  const filtered = code !== undefined || tenant !== undefined
  if (ids.length > 0 && !filtered && !all) return { tenant: null, code: null, rejectIds: ids }
  if (ids.length === 0 && filtered !== (all ?? false)) {
    return { tenant: tenant ?? null, code: code ?? null, rejectIds: null }
  }
  throw new ConfigError(['metadata rejects: expected numbers, or --code and --tenant, or --all, got none or several'])
}

function showList(rejects: readonly KeptReject[]): string {
  if (rejects.length === 0) return 'no rejects'
  return rejects
    .map(({ rejectId, tenant, code, detail, record, state, createdAt }) =>
      [
        `${rejectId} ${code} ${tenant} ${formatInstant(createdAt)}${state === 'open' ? '' : ` ${state}`}`,
        `  ${detailText(detail)}`,
        `  ${sample(record, RECORD_CHARS)}`,
      ].join('\n'),
    )
    .join('\n\n')
}

function detailText(detail: unknown): string {
  const said = typeof detail === 'object' && detail !== null && 'detail' in detail ? detail.detail : undefined
  return typeof said === 'string' ? said : sample(detail)
}
