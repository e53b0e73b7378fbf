import { type Command, InvalidArgumentError } from 'commander'
import { selectStream } from '../../../shared/ingest/plan/select-streams.ts'
import { formatInstant, type Instant } from '../../../shared/instant.ts'
import { explainRow, type RowExplanation } from '../../../shared/provenance/explain.ts'
import {
  type ExplainedIngest,
  explainIngest,
  type IngestExplanation,
} from '../../../shared/provenance/explain-ingest.ts'
import { explainPartition, type PartitionExplanation } from '../../../shared/provenance/explain-partition.ts'
import { type KeyPart, partitionPlaceAt, partitionPlaceOf } from '../../../shared/provenance/explain-row.ts'
import { table } from '../../table.ts'
import { type Cli, examples, onPlatform } from '../command.ts'

const FILE = 'dataset=bars/timeframe=1d/symbol=TSLA/year=2024/part-alpaca.parquet'

export function registerExplain(program: Command, cli: Cli): void {
  const explain = program.command('explain').description('where a row, a file or an ingest comes from')
  explain
    .command('row')
    .description('from a curated row down to the record, the raw page and the request that brought it')
    .argument('<path-or-stream>', 'path of a curated file, or name of a stream (the key then names the time)')
    .requiredOption('--key <column=value...>', 'values that the row has: ts=2024-01-02 symbol=TSLA', keyPart)
    .addHelpText(
      'after',
      examples(
        'tributary explain row alpaca/bars/TSLA/1d --key ts=2024-01-02',
        `tributary explain row ${FILE} --key session_date=2024-01-02 --json`,
      ),
    )
    .action(
      onPlatform(cli, async ({ platform, out }, where: string, { key }: { key: readonly KeyPart[] }) => {
        const place = where.includes('dataset=')
          ? partitionPlaceOf(where)
          : partitionPlaceAt(await selectStream(platform.db, where), key)
        out.answer(await explainRow(platform, place, key), showRow)
        return undefined
      }),
    )
  explain
    .command('partition')
    .description(
      'who made a curated file: its ingests, those left out, its rebuilds, what is published and what is there',
    )
    .argument('<path>', 'path of a curated file')
    .addHelpText('after', examples(`tributary explain partition ${FILE}`))
    .action(
      onPlatform(cli, async ({ platform, out }, path: string) => {
        out.answer(await explainPartition(platform, partitionPlaceOf(path)), showPartition)
        return undefined
      }),
    )
  explain
    .command('ingest')
    .description('an ingest with its attempts, pages, counts and errors, and what it wrote where')
    .argument('<id>', 'id of a SourceIngest', ingestId)
    .addHelpText('after', examples('tributary explain ingest 0199c1f2-7a3b-7d1e-8f00-123456789abc'))
    .action(
      onPlatform(cli, async ({ platform, out }, id: string) => {
        out.answer(await explainIngest(platform.db, id), showIngest)
        return undefined
      }),
    )
}

function keyPart(text: string, before: readonly KeyPart[] = []): readonly KeyPart[] {
  const at = text.indexOf('=')
  if (at < 1) throw new InvalidArgumentError(`expected column=value, got "${text}"`)
  return [...before, { column: text.slice(0, at), value: text.slice(at + 1) }]
}

export function ingestId(text: string): string {
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) return text
  throw new InvalidArgumentError(`expected the id of an ingest, got "${text}"`)
}

type Lines = readonly (readonly [string, unknown])[]

/** Names and values below each other; what is not there is left out. */
function facts(lines: Lines): string {
  const shown = lines.filter(([, value]) => value !== null && value !== undefined)
  const width = Math.max(...shown.map(([name]) => name.length))
  return shown.map(([name, value]) => `  ${name.padEnd(width)}  ${spell(value)}`).join('\n')
}

function spell(value: unknown): string {
  return typeof value === 'bigint'
    ? formatInstant(value)
    : typeof value === 'object'
      ? JSON.stringify(value)
      : String(value)
}

function showRow(row: RowExplanation): string {
  const { path, blobVersion, transformVersion, values, provenance, page, request, record, madeAgain, ingest } = row
  const said =
    record.row === null ? `does not fit (${record.reject?.code}: ${record.reject?.detail})` : 'makes another row'
  return [
    `row of ${path}, blob version ${blobVersion}, transform version ${transformVersion}`,
    facts([...Object.entries(values), ...Object.entries(provenance)]),
    ...(row.pending ? ['  an ingest or a rebuild of the file is not published yet'] : []),
    `record ${record.ordinal} of the raw page; with today's transform it ${madeAgain ? 'makes this row' : said}`,
    `  ${record.json}`,
    `raw page ${page.path}`,
    facts([
      ['page', page.pageNo],
      ['sha256', page.sha256],
      ['bytes', `${page.bodyBytes}, stored ${page.storedBytes}`],
      ['status', page.httpStatus],
      ['observed', page.observedAt],
      ['fetched', page.fetchedAt],
      ['request', request && `${request.method} ${request.path}?${new URLSearchParams(request.query)}`],
      ['request unknown', row.requestProblem],
      ['fingerprint', page.requestFingerprint],
    ]),
    showIngestFacts(ingest),
  ].join('\n')
}

function showIngestFacts(ingest: ExplainedIngest): string {
  const { sourceIngestId, stream, lo, hi, file, ...rest } = ingest
  const { records, inserted, updated, unchanged, superseded, rejected, outside } = rest
  const counts = Object.entries({ inserted, updated, unchanged, superseded, rejected, outside, removed: rest.removed })
  return [
    `ingest ${sourceIngestId} of ${stream}`,
    facts([
      ['lane', rest.lane],
      ['state', rest.state],
      ['window', window(lo, hi)],
      ['file', file && `${file.name} version ${file.version}`],
      ['partition', rest.partitionKey],
      ['attempts', `${rest.epoch}${rest.landedEpoch === null ? '' : `, landed in epoch ${rest.landedEpoch}`}`],
      ['pages', rest.pages],
      ['records', records],
      ['counts', counts.flatMap(([name, number]) => (number === null ? [] : [`${number} ${name}`])).join(', ') || null],
      ['transform', rest.transformVersion],
      ['planned', `${formatInstant(rest.plannedAt)} by ${rest.initiatedBy}`],
      ['started', rest.startedAt],
      ['finished', rest.finishedAt],
      ['next attempt', rest.nextAttemptAt],
      ['checkpoint', rest.checkpointAfter],
      ['error', rest.error === null ? null : `${rest.errorClass}: ${rest.error}`],
      ['superseded by', rest.supersededBy],
      ['withdrawn', rest.withdrawnAt],
      ['split of', rest.splitOf],
      ['halves', rest.halves.length === 0 ? null : rest.halves.join(', ')],
      ['backfill', rest.backfillId],
    ]),
  ].join('\n')
}

function window(lo: Instant | null, hi: Instant | null): string | null {
  return lo === null || hi === null ? null : `${formatInstant(lo)} … ${formatInstant(hi)}`
}

function showIngest({ ingest, pages, written, rejects }: IngestExplanation): string {
  const sections = [showIngestFacts(ingest)]
  if (pages.length > 0) {
    const rows = pages.map(({ epoch, pageNo, records, bodyBytes, httpStatus, path }) =>
      [epoch, pageNo, records ?? 'evidence', bodyBytes, httpStatus ?? 'file', path].map(String),
    )
    sections.push(table(['epoch', 'page', 'records', 'bytes', 'status', 'raw page'], rows))
  }
  if (written.length > 0) {
    const rows = written.map(({ partitionKey, inserted, updated, unchanged, superseded }) =>
      [partitionKey, inserted, updated, unchanged, superseded].map(String),
    )
    sections.push(table(['partition', 'inserted', 'updated', 'unchanged', 'superseded'], rows))
  }
  if (rejects.length > 0) {
    const rows = rejects.map(({ code, state, count, example }) => [code, state, String(count), example])
    sections.push(table(['reject', 'state', 'count', 'example'], rows))
  }
  return sections.join('\n\n')
}

function showPartition({
  path,
  published,
  blob,
  asPublished,
  pending,
  ingests,
  rebuilds,
}: PartitionExplanation): string {
  const sections = [
    [
      path,
      published === null
        ? '  never published'
        : facts([
            ['stream', published.stream],
            ['published', `${formatInstant(published.updatedAt)} by ingest ${published.sourceIngestId}`],
            ['blob version', published.blobVersion],
            ['rows', published.rows],
            ['bytes', published.bytes],
            ['from', published.minTs],
            ['to', published.maxTs],
            ['transform', published.transformVersion],
            ['contract', published.contractVersion],
            ['sha256', published.sha256],
            ['content', published.contentSha256],
          ]),
      `  the blob ${blob === null ? 'is not there' : asPublished ? 'is the published one' : `is another: ${blob.metadata.sha256}, blob version ${blob.metadata.blobversion}`}`,
      ...(pending ? ['  an ingest or a rebuild of it is not published yet'] : []),
    ].join('\n'),
  ]
  if (ingests.length > 0) {
    const rows = ingests.map((one) => [
      one.sourceIngestId,
      one.lane,
      one.state,
      one.standing,
      window(one.lo, one.hi) ?? `${one.file?.name} version ${one.file?.version}`,
      ...[one.pages, one.inserted, one.updated, one.unchanged, one.superseded].map(String),
    ])
    const head = [
      'ingest',
      'lane',
      'state',
      'standing',
      'of',
      'pages',
      'inserted',
      'updated',
      'unchanged',
      'superseded',
    ]
    sections.push(table(head, rows))
  }
  if (rebuilds.length > 0) {
    const rows = rebuilds.map((one) => [
      one.sourceIngestId,
      one.state,
      `${formatInstant(one.plannedAt)} by ${one.initiatedBy}`,
      ...[one.added, one.changed, one.unchanged, one.removed].map((value) => (value === null ? '?' : String(value))),
      one.error ?? '',
    ])
    sections.push(table(['rebuild', 'state', 'planned', 'added', 'changed', 'unchanged', 'removed', 'error'], rows))
  }
  return sections.join('\n\n')
}
