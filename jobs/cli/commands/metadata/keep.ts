import type { Command } from 'commander'
import { openContainer } from '../../../../shared/azure/blobs.ts'
import { CancelledError } from '../../../../shared/errors.ts'
import { withoutHook } from '../../../../shared/io-hook.ts'
import type { Log } from '../../../../shared/log/log.ts'
import {
  type CompactedKind,
  type CompactionPlan,
  compactMetadata,
  planCompaction,
} from '../../../../shared/metadata/retention/compact.ts'
import {
  archiveRawPages,
  planRawRetention,
  type RawRetention,
} from '../../../../shared/metadata/retention/raw-retention.ts'
import { count, table } from '../../../table.ts'
import { type Cli, type CommandContext, examples } from '../../command.ts'
import { EXIT } from '../../exit-codes.ts'
import { metadataContainer, onMetadata, storeOf } from './on-metadata.ts'

type DryRun = { readonly dryRun?: true }

export function registerKeep(metadata: Command, cli: Cli): void {
  metadata
    .command('compact')
    .description('move days that are no longer hot from the table to files; what the job nightly does, safe to repeat')
    .option('--dry-run', 'say what is due, and change nothing')
    .addHelpText(
      'after',
      `
Exit code 75: another one is at it, try again later.
${examples('tributary metadata compact --dry-run', 'tributary metadata compact --json')}`,
    )
    .action(onMetadata(cli, compact))
  metadata
    .command('retention')
    .description('move raw pages to the archive that are older than TRIBUTARY_RAW_RETENTION says; safe to repeat')
    .option('--dry-run', 'say what is due, and change nothing')
    .addHelpText(
      'after',
      `
Exit code 1: pages are not what was recorded when they were fetched. They stay where they are.
${examples('tributary metadata retention --dry-run', 'tributary metadata retention')}`,
    )
    .action(onMetadata(cli, retention))
}

async function compact({ platform, out, signal }: CommandContext, { dryRun }: DryRun) {
  const { db } = storeOf(platform, 'compact')
  const { metadata } = platform
  // A kind that this process has not heard of would never leave the table.
  await metadata.kinds.reload()
  const kinds = metadata.kinds.known()
  if (dryRun) {
    out.answer(await planCompaction({ db, kinds }), showPlan)
    return undefined
  }
  const log = telling(platform.log, 'metadata_compacted', (fields) =>
    out.progress('compacted', fields, `${String(fields.kind)}: ${String(fields.recordsWritten)} records written`),
  )
  const done = await compactMetadata({ db, files: metadataContainer(platform), kinds, log, stop: signal })
  if (signal.aborted) throw new CancelledError('told to stop')
  out.answer(done, (kinds) => (kinds === null ? 'another one is at it: try again later' : showCompacted(kinds)))
  return done === null ? EXIT.quota : undefined
}

async function retention({ platform, out, signal, actor }: CommandContext, { dryRun }: DryRun) {
  const { db, settings } = platform
  const { rawRetentionDays } = settings
  const show = (verb: string) => (all: readonly RawRetention[]) => showRetention(all, rawRetentionDays, verb)
  if (dryRun) {
    out.answer(await planRawRetention({ db, rawRetentionDays }), show('would leave raw'))
    return undefined
  }
  const container = (name: string) =>
    openContainer({ account: settings.lakeStorage, container: name, hook: withoutHook })
  const places = { raw: container('raw'), archive: container('archive') }
  const log = telling(platform.log, 'raw_pages_archived', (fields) =>
    out.progress('archived', fields, `${String(fields.source)}: ${String(fields.pages)} pages archived`),
  )
  const done = await archiveRawPages({ db, ...places, rawRetentionDays, actor, log, stop: signal })
  if (signal.aborted) throw new CancelledError('told to stop')
  out.answer(done, show('went to the archive'))
  return done.some(({ damaged }) => damaged > 0) ? EXIT.failed : undefined
}

/** The same log, and `tell` is told of one event. */
function telling(log: Log, event: string, tell: (fields: Readonly<Record<string, unknown>>) => void): Log {
  return {
    ...log,
    info(name, fields = {}) {
      if (name === event) tell(fields)
      log.info(name, fields)
    },
  }
}

function showPlan(plans: readonly CompactionPlan[]): string {
  const due = plans.filter(({ days, recordsToDelete }) => days.length > 0 || recordsToDelete > 0)
  if (due.length === 0) return 'nothing is due'
  return table(
    ['kind', 'days', 'files', 'to write', 'to delete', 'from', 'to'],
    due.map(({ kind, days, files, recordsToWrite, recordsToDelete }) => [
      kind,
      count(days.length),
      count(files.length),
      count(recordsToWrite),
      count(recordsToDelete),
      days[0] ?? '',
      days.at(-1) ?? '',
    ]),
  )
}

function showCompacted(kinds: readonly CompactedKind[]): string {
  return table(
    ['kind', 'files', 'written', 'deleted', 'in files before', 'waits for'],
    kinds.map(({ kind, filesWritten, recordsWritten, recordsDeleted, below, waitsFor }) => [
      kind,
      count(filesWritten),
      count(recordsWritten),
      count(recordsDeleted),
      below ?? 'nothing',
      waitsFor.join(' '),
    ]),
  )
}

function showRetention(all: readonly RawRetention[], days: ReadonlyMap<string, number>, verb: string): string {
  if (all.length === 0) return 'TRIBUTARY_RAW_RETENTION names no source: raw pages are kept for ever'
  return all
    .map(({ source, pages, bytes, damaged }) => {
      const broken = damaged === 0 ? '' : `; ${count(damaged)} are not what was fetched and stay`
      return `${source}: ${count(pages)} pages, ${count(bytes)} bytes older than ${days.get(source)} days ${verb}${broken}`
    })
    .join('\n')
}
