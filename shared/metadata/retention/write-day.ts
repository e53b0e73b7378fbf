import { createHash, type Hash } from 'node:crypto'
import type { BlobContainer } from '../../azure/blobs.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import { recordContent, recordKey } from '../model/identity.ts'
import { jsonObject } from '../model/record.ts'
import { TELL_APART } from '../postgres/store-statement.ts'
import { toRecord } from '../postgres/stored-row.ts'
import { COMPACTED_COLUMNS, type CompactedRow, columnsOf } from './compacted-columns.ts'
import { type CompactedFile, readCompactedFile } from './compacted-reader.ts'
import { encodeCompacted } from './compacted-writer.ts'
import { CompactionStoppedError } from './compaction-error.ts'
import { rowsOfDay, type StoredDay } from './stored-days.ts'

export type DayWriter = { readonly db: Queryable; readonly files: BlobContainer }

export type WrittenDay = CompactedFile & {
  readonly rows: number
  /** False: it was there, with the same records. */
  readonly written: boolean
}

/** `compacted/tenant=ours/kind=schedule/year=2026/month=11/2026-11-21.parquet` in the container `metadata`. */
export function compactedPath({ tenant, kind, day }: Pick<StoredDay, 'tenant' | 'kind' | 'day'>): string {
  const [year, month] = day.split('-')
  return `compacted/tenant=${tenant}/kind=${kind}/year=${year}/month=${month}/${day}.parquet`
}

const KNOWN: Statement = {
  name: 'known_compacted_file',
  text: `
select path, bytes, encode(sha256, 'hex') as sha256, rows
  from metadata.compacted_file where kind = $1::text and tenant_no = $2::int and stored_day = $3::date`,
}

const ADD: Statement = {
  name: 'add_compacted_file',
  text: `
insert into metadata.compacted_file
       (kind, tenant_no, stored_day, path, sha256, rows, bytes, min_effective_at, max_effective_at, first_record_id,
        last_record_id)
values ($1::text, $2::int, $3::date, $4::text, decode($5::text, 'hex'), $6::bigint, $7::bigint, $8::timestamptz,
        $9::timestamptz, $10::uuid, $11::uuid)
on conflict do nothing`,
}

/**
 * Makes the file of a day, once: what was written is read back and compared, record by record, with the table and with
 * the content that each was stored as; a file that is there must hold the same. Throws CompactionStoppedError, and the
 * day is not known to have a file, where anything differs.
 */
export async function writeDay({ db, files }: DayWriter, day: StoredDay): Promise<WrittenDay> {
  const [known] = await db.query<Omit<WrittenDay, 'written'>>(KNOWN, [day.kind, day.tenantNo, day.day])
  if (known !== undefined) {
    if (known.rows === day.rows) return { ...known, written: false }
    throw stopped(known.path, `expected ${day.rows} records as there are in the table, got ${known.rows}`)
  }
  const path = compactedPath(day)
  const table = createDigest()
  const made = await putFile(files, path, digesting(rowsOfDay(db, day), table))
  const found = await files.head(path)
  if (found === null) throw stopped(path, 'expected the blob just written, there is none')
  const file = { path, bytes: found.bytes, sha256: found.metadata.sha256 ?? '' }
  if (made !== null && made !== file.sha256) throw stopped(path, `expected sha256 ${made}, got ${file.sha256}`)
  await compareFile({ db, files }, day, file, table)
  const span = [day.minEffectiveAt, day.maxEffectiveAt, day.firstId, day.lastId]
  await db.query(ADD, [day.kind, day.tenantNo, day.day, path, file.sha256, day.rows, file.bytes, ...span])
  return { ...file, rows: day.rows, written: made !== null }
}

/** The hash of the file; null where there was one before, whoever made it. Takes all pages in any case. */
async function putFile(
  files: BlobContainer,
  path: string,
  pages: AsyncIterable<readonly CompactedRow[]>,
): Promise<string | null> {
  if ((await files.head(path)) !== null) {
    for await (const _ of pages);
    return null
  }
  let sha256 = ''
  let rows = 0
  const chunks = async function* () {
    const encoding = encodeCompacted(pages)
    for (;;) {
      const next = await encoding.next()
      if (!next.done) yield next.value
      else {
        ;({ sha256, rows } = next.value)
        return
      }
    }
  }
  const result = await files.putChunks(path, chunks(), {
    condition: { kind: 'absent' },
    contentType: 'application/vnd.apache.parquet',
    metadata: () => ({ sha256, rows: String(rows) }),
  })
  return result.written ? sha256 : null
}

async function compareFile(
  { db, files }: DayWriter,
  day: StoredDay,
  file: CompactedFile,
  table: Digest,
): Promise<void> {
  const read = createDigest()
  let last = ''
  for await (const group of readCompactedFile(files, file)) {
    const rows = Array.from({ length: group.rowCount }, (_, row) => group.row(row))
    for (const { recordId } of rows) {
      if (recordId <= last)
        throw stopped(file.path, `expected records in the order of ids, got ${recordId} after ${last}`)
      last = recordId
    }
    read.add(rows)
    await compareContent(db, day, file.path, rows)
  }
  const expected = `${day.rows} records with digest ${table.hex()}`
  const got = `${read.rows()} records with digest ${read.hex()}`
  if (table.rows() !== day.rows)
    throw stopped(file.path, `expected ${day.rows} records in the table, got ${table.rows()}`)
  if (expected !== got) throw stopped(file.path, `expected ${expected}, got ${got}`)
}

/** Each record of the file says what was stored under its key, by the hash of that time. */
async function compareContent(
  db: Queryable,
  day: StoredDay,
  path: string,
  rows: readonly CompactedRow[],
): Promise<void> {
  const records = rows.map((row) => {
    const { recordId, effectiveAt: _, storedAt: __, ...record } = toRecord(row)
    const said = { ...jsonObject.parse(JSON.parse(row.body)), payload: record.payload }
    return { recordId, key: recordKey(record), revision: record.revision, content: recordContent(record, said) }
  })
  const found = await db.query<{ n: number; same: boolean; recordId: string }>(TELL_APART, [
    records.map((_, n) => n),
    records.map(() => day.tenantNo),
    records.map(({ key }) => key),
    records.map(({ revision }) => revision),
    records.map(({ content }) => content),
  ])
  const same = new Map(found.filter(({ same }) => same).map(({ n, recordId }) => [n, recordId]))
  const wrong = records.find(({ recordId }, n) => same.get(n) !== recordId)
  if (wrong !== undefined) {
    throw stopped(path, `expected record ${wrong.recordId} with the content it was stored as, got other content`)
  }
}

type Digest = {
  readonly add: (rows: readonly CompactedRow[]) => void
  readonly rows: () => number
  readonly hex: () => string
}

/** Of records in their order, with all that their columns hold. */
function createDigest(): Digest {
  const hash: Hash = createHash('sha256')
  let count = 0
  return {
    add(rows) {
      const columns = columnsOf(rows)
      for (let row = 0; row < rows.length; row++) {
        const values = COMPACTED_COLUMNS.map((_, index) => columns[index]?.[row])
        hash.update(JSON.stringify(values, (_key, value: unknown) => (typeof value === 'bigint' ? `${value}` : value)))
      }
      count += rows.length
    },
    rows: () => count,
    hex: () => hash.copy().digest('hex'),
  }
}

async function* digesting(
  pages: AsyncIterable<readonly CompactedRow[]>,
  digest: Digest,
): AsyncGenerator<readonly CompactedRow[]> {
  for await (const page of pages) {
    digest.add(page)
    yield page
  }
}

function stopped(path: string, detail: string): CompactionStoppedError {
  return new CompactionStoppedError(`compacted file ${path}: ${detail}`)
}
