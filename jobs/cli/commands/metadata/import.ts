import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from 'commander'
import { CancelledError, ConfigError, toError } from '../../../../shared/errors.ts'
import {
  type ComparedSample,
  compareSamples,
  parseSamples,
  type Sample,
} from '../../../../shared/metadata/history/compare-samples.ts'
import { type ImportFile, importHistory } from '../../../../shared/metadata/history/import-history.ts'
import type { ImportSummary, Listed } from '../../../../shared/metadata/history/import-summary.ts'
import { recordAudit } from '../../../../shared/ops/audit.ts'
import { count } from '../../../table.ts'
import { type Cli, type CommandContext, examples } from '../../command.ts'
import { EXIT, type ExitCode } from '../../exit-codes.ts'
import { onMetadata, storeOf, tenantOf } from './on-metadata.ts'
import { TENANT_HELP, targetText, tenantValue } from './options.ts'
import { shortInstant } from './show-record.ts'

/** Of each list, for a person; --json has more of it. */
const SHOWN = 10

type Options = { readonly dryRun?: boolean; readonly tenant?: string; readonly samples?: string }

export function registerImport(metadata: Command, cli: Cli): void {
  metadata
    .command('import')
    .description(
      'history that other systems left: progress lines, manifests, guardrail reports, recon outputs, catalogs',
    )
    .argument('<files...>', 'files and folders; what each is its content says')
    .option('--dry-run', 'read all, say what is in it, and write nothing')
    .option('--samples <file>', 'JSON or CSV of figures that tables had in a range of time: compared afterwards')
    .option('--tenant <tenant>', TENANT_HELP, tenantValue)
    .addHelpText(
      'after',
      `
Any order and any repetition lead to the same; what is found later is imported later.
Exit code 1: lines were not taken, records were refused, or samples differ.
${examples(
  'tributary metadata import logs/ reports/ --dry-run',
  'tributary metadata import logs/*.jsonl --tenant acme --samples samples.csv',
)}`,
    )
    .action(onMetadata(cli, importFiles))
}

async function importFiles(
  context: CommandContext,
  paths: readonly string[],
  { dryRun = false, tenant: named, samples: samplesFile }: Options,
): Promise<ExitCode | undefined> {
  const { platform, out, signal, actor } = context
  const { db } = storeOf(platform, 'import')
  const tenant = tenantOf(platform, named)
  const samples = samplesFile === undefined ? [] : await readSamples(samplesFile)
  const found = await filesOf(paths)
  const repository = await platform.metadata.repository(tenant)
  const files = telling(context, found)
  const summary = await importHistory({ db, repository, files, tenant, log: platform.log, dryRun, signal })
  if (signal.aborted) throw new CancelledError('told to stop')
  const { stored, revised } = summary.records
  if (!dryRun) {
    const after = { tenant, files: found.length, stored, revised }
    await recordAudit(platform.db, { actor, action: 'import_metadata_history', subject: paths.join(' '), after })
    if (stored + revised > 0) await platform.bus.announce()
  }
  const compared = samples.length === 0 ? [] : await compareSamples({ repository, samples })
  out.answer({ ...summary, samples: compared }, () => showImport(summary, compared))
  const differs = compared.some(({ differences }) => differences.length > 0)
  const failed = summary.problems.count + summary.records.refused.count > 0 || differs
  return failed ? EXIT.failed : undefined
}

async function readSamples(file: string): Promise<readonly Sample[]> {
  return parseSamples(await readFile(file, 'utf8').catch((error) => cannotRead('samples', file, error)))
}

/** Those below folders too, by name. Named as they were given. */
async function filesOf(paths: readonly string[]): Promise<readonly string[]> {
  const files: string[] = []
  for (const path of paths) {
    const facts = await stat(path).catch((error) => cannotRead('import', path, error))
    if (!facts.isDirectory()) files.push(path)
    else {
      const entries = await readdir(path, { recursive: true, withFileTypes: true })
      const below = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name))
      files.push(...below.sort())
    }
  }
  return files
}

function cannotRead(what: string, path: string, thrown: unknown): never {
  throw new ConfigError([`${what}: expected to read ${path}, got ${toError(thrown).message}`])
}

function* telling({ out }: CommandContext, files: readonly string[]): Generator<ImportFile> {
  for (const [index, file] of files.entries()) {
    const place = { file, number: index + 1, files: files.length }
    out.progress('file', place, `file ${place.number} of ${place.files}: ${file}`)
    yield { name: file, path: file }
  }
}

function showImport(summary: ImportSummary, compared: readonly ComparedSample[]): string {
  const { dryRun, files, taken, events, runs, records, problems, tablesWithoutHistory } = summary
  const kinds = Object.entries(taken).flatMap(([artifact, number]) =>
    number > 0 ? [`${count(number)} ${artifact}`] : [],
  )
  const written = [
    `events: ${count(events.stored)} new, ${count(events.repeated)} known, ${count(events.replaced)} replaced`,
    `runs: ${count(runs.merged)} merged, ${count(runs.live.count)} told live, ${count(runs.waiting.count)} wait for more`,
    `records: ${count(records.stored)} stored, ${count(records.revised)} revised, ${count(records.unchanged)} unchanged, ${count(records.refused.count)} refused`,
  ]
  return [
    `${count(files)} files: ${kinds.join(', ') || 'nothing was taken'}`,
    ...(dryRun ? ['dry run: nothing was written'] : written),
    ...shown('not taken', problems, ({ file, line, reason }) => `${file} line ${line}: ${reason}`),
    ...shown('refused', records.refused, ({ run, kind, reason }) => `${kind} of run ${run}: ${reason}`),
    ...shown('runs of which not all could be told yet', runs.waiting, (run) => run),
    ...shown('tables without history', tablesWithoutHistory, targetText),
    ...showSamples(compared),
  ].join('\n')
}

function shown<Item>(title: string, { count: all, first }: Listed<Item>, show: (item: Item) => string): string[] {
  if (all === 0) return []
  const lines = first.slice(0, SHOWN).map((item) => `  ${show(item)}`)
  const more = all > lines.length ? [`  and ${count(all - lines.length)} more`] : []
  return [`${title}: ${count(all)}`, ...lines, ...more]
}

function showSamples(compared: readonly ComparedSample[]): string[] {
  if (compared.length === 0) return []
  const differing = compared.filter(({ differences }) => differences.length > 0)
  return [
    `samples: ${count(compared.length - differing.length)} agree, ${count(differing.length)} differ`,
    ...differing.flatMap(({ sample: { target, from, to }, differences }) =>
      differences.map(
        ({ figure, expected, found }) =>
          `  ${targetText(target)} ${shortInstant(from)} … ${shortInstant(to)}: ${figure} expected ${expected}, found ${found ?? 'none'}`,
      ),
    ),
  ]
}
