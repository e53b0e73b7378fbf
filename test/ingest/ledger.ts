import { z } from 'zod'
import { decodePartition } from '../../shared/curated/parquet-reader.ts'
import { curatedRoot } from '../../shared/curated/partition-path.ts'
import { observations } from '../../shared/datasets/observations.ts'
import { columnOf } from '../../shared/datasets/row-batch.ts'
import { type FilePlan, planFile } from '../../shared/ingest/plan/plan-file.ts'
import { formatDate, instantOfDate, MICROS_PER_DAY, parseDate, parseInstant } from '../../shared/instant.ts'
import { sha256Hex } from '../../shared/sha256.ts'
import type { FileSource } from '../../shared/sources/contract.ts'
import { defineFileSource } from '../../shared/sources/file-source.ts'
import { openWorkbench, type Workbench, type WorkbenchOptions } from '../support/workbench.ts'

/** Files of one line per date: `2020-01-02,1.5`. A line that is neither is a reject; `not a ledger` is no file of it. */
export const ledger: FileSource = defineFileSource({
  id: 'ledger',
  dataset: observations,
  params: z.strictObject({ account: z.string() }),
  transformVersion: 1,
  bodyBytesMax: 10_000,
  subject: ({ account }) => account,
  count: (body) => {
    const lines = linesOf(body)
    return lines[0] === 'not a ledger'
      ? { kind: 'broken', detail: 'expected dates and values, got not a ledger' }
      : { kind: 'file', records: lines.length }
  },
  records: (body, { account }, into) => {
    for (const line of linesOf(body)) {
      const [date = '', value = ''] = line.split(',')
      const days = parseDate(date)
      if (days === undefined) into.fail('unreadable', `date: expected one, got ${date}`)
      else into.column('observation_date').put(days)
      into.column('ts').put(instantOfDate(days ?? 0))
      into.column('value').put(Number(value))
      into.column('symbol').put(account)
      into.column('source').put('ledger')
      into.column('units').put('lin')
      into.end(line)
    }
  },
})

function linesOf(body: Uint8Array): string[] {
  return new TextDecoder().decode(body).split('\n').filter(Boolean)
}

type Seen = { readonly etag: string; readonly sha256: string; readonly bytes: number }

export type Dropped = { readonly lines: readonly string[]; readonly modifiedAt: string; readonly name?: string }

/** A workbench with one stream of files and hands that put them. Close its bench. */
export type LedgerBench = {
  readonly bench: Workbench
  readonly streamId: number
  /** Puts the file where others put theirs, and plans it. */
  readonly drop: (file: Dropped) => Promise<FilePlan>
  /** Puts it and does not tell. */
  readonly put: (file: Dropped) => Promise<Seen>
  /** What a lister sees of the file that is there. */
  readonly seen: (name?: string) => Promise<Seen>
  /** The same for a file that is there: as a lister that saw it would. */
  readonly plan: (file: Dropped, seen: Seen) => Promise<FilePlan>
  /** Every curated row: `2020-01-02 1.5`, in order. */
  readonly rows: () => Promise<readonly string[]>
  /** Name and version of each file ingest with its state and mark, in the order of planning. */
  readonly versions: () => Promise<readonly string[]>
  readonly rebuilds: () => Promise<readonly Readonly<Record<string, unknown>>[]>
}

export const NAME = 'books/2020.csv'

export async function openLedger(options: WorkbenchOptions): Promise<LedgerBench> {
  const bench = await openWorkbench({ streams: [], sources: new Map([['ledger', ledger]]), ...options })
  const { db, landing } = bench.platform
  await landing.ensure()
  const root = curatedRoot({ dataset: 'observations', source: 'ledger', subject: 'A' })
  const [stream] = await bench.query<{ streamId: number }>(
    `insert into ingest.stream (source, dataset, params, params_key, subject, curated_root, origin, managed_by,
            granularity_s, max_window_s, settle_lag_s)
     values ('ledger', 'observations', '{"account":"A"}', '{"account":"A"}', 'A', $1, '2000-01-01', 'import', 86400, 86400, 0)
     on conflict (source, dataset, params_key) do update set subject = excluded.subject
     returning stream_id as "streamId"`,
    [root],
  )
  const streamId = stream?.streamId as number
  const put = async ({ lines, name = NAME }: Dropped) => {
    const body = new TextEncoder().encode(lines.map((line) => `${line}\n`).join(''))
    const there = await landing.head(name)
    const condition =
      there === null ? ({ kind: 'absent' } as const) : ({ kind: 'unchanged', etag: there.etag } as const)
    const result = await landing.put(name, body, { condition, contentType: 'text/csv', metadata: {} })
    if (!result.written) throw new Error(`file ${name}: expected to put it, got ${result.status}`)
    return { etag: result.etag, sha256: sha256Hex(body), bytes: body.byteLength }
  }
  const seen = async (name = NAME) => {
    const blob = await landing.get(name)
    if (blob === null) throw new Error(`file ${name}: expected it in the landing zone, there is none`)
    return { etag: blob.etag, sha256: sha256Hex(blob.body), bytes: blob.body.byteLength }
  }
  const plan: LedgerBench['plan'] = ({ name = NAME, modifiedAt }, seen) => {
    const file = { name, ...seen, modifiedAt: parseInstant(modifiedAt) as bigint }
    return planFile(db, { streamId, file, initiatedBy: 'test' })
  }
  return {
    bench,
    streamId,
    put,
    seen,
    plan,
    drop: async (file) => plan(file, await put(file)),
    rows: () => readRows(bench),
    async versions() {
      const rows = await bench.query<{ text: string }>(
        `select concat_ws(' ', i.parameters ->> 'name', 'v' || (i.parameters ->> 'version'), i.state,
                'by v' || (by.parameters ->> 'version'), case when i.withdrawn_at is not null then 'withdrawn' end) as text
           from provenance.source_ingest i
           left join provenance.source_ingest by on by.source_ingest_id = i.superseded_by
          where i.lane = 'import' order by i.parameters ->> 'name', (i.parameters ->> 'version')::int`,
      )
      return rows.map(({ text }) => text)
    },
    rebuilds: () =>
      bench.query(
        `select state, inserted, updated, unchanged, removed, initiated_by as "initiatedBy"
           from provenance.source_ingest where lane = 'reprocess' order by planned_at, partition_key`,
      ),
  }
}

async function readRows({ platform }: Workbench): Promise<readonly string[]> {
  const found: string[] = []
  for await (const { path } of platform.curated.list('')) {
    const blob = await platform.curated.get(path)
    if (blob === null) continue
    const { rows } = decodePartition({ dataset: observations, bytes: blob.body })
    const times = columnOf(rows, 'ts') as BigInt64Array
    const values = columnOf(rows, 'value')
    for (let row = 0; row < rows.rowCount; row++) {
      found.push(`${formatDate(Number((times[row] as bigint) / MICROS_PER_DAY))} ${values[row]}`)
    }
  }
  return found
}
