import { createReadStream } from 'node:fs'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { z } from 'zod'
import { CancelledError, ConfigError, toError } from '../../../../shared/errors.ts'
import { type FoundValue, readValues } from '../../../../shared/metadata/history/read-values.ts'
import { problem } from '../../../../shared/metadata/model/problem.ts'
import type { NewMetadataRecord } from '../../../../shared/metadata/model/record.ts'
import type { MetadataRepository, StoreResult } from '../../../../shared/metadata/model/repository.ts'
import { recordAudit } from '../../../../shared/ops/audit.ts'
import { count } from '../../../table.ts'
import { type Cli, type CommandContext, examples } from '../../command.ts'
import { EXIT } from '../../exit-codes.ts'
import { onMetadata, tenantOf } from './on-metadata.ts'
import { TENANT_HELP, tenantValue } from './options.ts'

const BATCH = 500
/** Of a line, and of a document: it is held in memory. */
const BYTES_MAX = 64 * 1024 * 1024

// Checked by the repository, each by itself: it takes whatever comes.
const anything = z.custom<NewMetadataRecord>()

type Emitted = StoreResult & { readonly place: string }

export function registerEmit(metadata: Command, cli: Cli): void {
  metadata
    .command('emit')
    .description('store records; each is judged by itself, and exit code 1 says that some were refused')
    .argument('<file>', 'a record, an array of them, or JSON lines; - for standard input')
    .option('--tenant <tenant>', TENANT_HELP, tenantValue)
    .addHelpText(
      'after',
      `
A record that is stored already is no error: the same file may be emitted again.
${examples('tributary metadata emit volumes.jsonl', 'tributary metadata emit - --json < record.json')}`,
    )
    .action(
      onMetadata(cli, async (context, file: string, { tenant: named }: { readonly tenant?: string }) => {
        const { platform, out, actor } = context
        const tenant = tenantOf(platform, named)
        const repository = await platform.metadata.repository(tenant)
        const results = await emitAll(context, repository, readValues(chunksOf(file), BYTES_MAX))
        const counts = countsOf(results)
        if (counts.stored > 0) {
          const after = { tenant, ...counts }
          await recordAudit(platform.db, { actor, action: 'emit_metadata', subject: nameOf(file), after })
          await platform.bus.announce()
        }
        out.answer({ ...counts, results }, showEmitted)
        return counts.refused > 0 ? EXIT.failed : undefined
      }),
    )
}

async function emitAll(
  { out, signal }: CommandContext,
  repository: MetadataRepository,
  values: AsyncIterable<FoundValue>,
): Promise<readonly Emitted[]> {
  const results: Emitted[] = []
  let batch: FoundValue[] = []
  let done = countsOf([])
  const flush = async () => {
    if (signal.aborted) throw new CancelledError('told to stop')
    const emitted = await emitBatch(repository, batch, results.length)
    results.push(...emitted)
    done = added(done, countsOf(emitted))
    batch = []
  }
  for await (const value of values) {
    batch.push(value)
    if (batch.length < BATCH) continue
    await flush()
    out.progress('emitted', done, summary(done))
  }
  if (batch.length > 0) await flush()
  return results
}

async function emitBatch(
  repository: MetadataRepository,
  found: readonly FoundValue[],
  before: number,
): Promise<Emitted[]> {
  const readable = found.flatMap((one) => (one.ok ? [anything.parse(one.value)] : []))
  const stored = await repository.bulkStore(readable)
  let next = 0
  return found.map((one, index) => {
    const place = `record ${before + index + 1} (line ${one.line})`
    if (!one.ok) return { place, outcome: 'refused', problem: problem('record-schema-invalid', one.reason) }
    const result = stored[next++]
    if (result === undefined) throw new Error(`records: expected ${readable.length} results, got ${stored.length}`)
    return { place, ...result }
  })
}

function chunksOf(file: string): AsyncIterable<Uint8Array> {
  return file === '-' ? process.stdin : fileChunks(file)
}

async function* fileChunks(file: string): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of createReadStream(file)) yield chunk
  } catch (error) {
    throw new ConfigError([`records: expected to read ${nameOf(file)}, got ${toError(error).message}`])
  }
}

function nameOf(file: string): string {
  return file === '-' ? 'standard input' : resolve(file)
}

type Counts = ReturnType<typeof countsOf>

function countsOf(results: readonly Emitted[]) {
  const of = (outcome: StoreResult['outcome']) => results.filter((result) => result.outcome === outcome).length
  return { stored: of('stored'), replayed: of('replayed'), refused: of('refused') }
}

function added(a: Counts, b: Counts): Counts {
  return { stored: a.stored + b.stored, replayed: a.replayed + b.replayed, refused: a.refused + b.refused }
}

function summary({ stored, replayed, refused }: Counts): string {
  return `${count(stored)} stored, ${count(replayed)} there already, ${count(refused)} refused`
}

function showEmitted({ results, ...counts }: Counts & { readonly results: readonly Emitted[] }): string {
  return [...results.map(showOne), summary(counts)].join('\n')
}

function showOne(result: Emitted): string {
  if (result.outcome !== 'refused') {
    return `${result.place}: ${result.outcome === 'stored' ? 'stored' : 'there already'} ${result.recordId}`
  }
  const { place, problem, recordId } = result
  return `${place}: refused, ${problem.code}${recordId === undefined ? '' : ` (stored: ${recordId})`}: ${problem.detail}`
}
