import { toError } from '../../errors.ts'
import { canonicalJson } from '../../json.ts'
import type { Log } from '../../log/log.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import { type CheckOptions, checkAll, checkRecord } from '../model/check.ts'
import type { KindBook } from '../model/kind-book.ts'
import type { RecordProblem } from '../model/problem.ts'
import type { NewMetadataRecord } from '../model/record.ts'
import { keepRejects, type MetadataReject } from './rejects.ts'

/** Records ready for a transaction of their producer, and those that it must not fail of. */
export type PreparedRecords = {
  readonly tenant: string
  readonly texts: readonly string[]
  readonly rejects: readonly MetadataReject[]
}

/** A strict producer's record is not one. */
export class RecordRefusedError extends Error {
  override readonly name = 'RecordRefusedError'
  readonly problem: RecordProblem

  constructor(problem: RecordProblem) {
    super(`metadata ${problem.detail}`)
    this.problem = problem
  }
}

export type PrepareOptions = Omit<CheckOptions, 'kinds'> & {
  readonly kinds: KindBook
  readonly log: Log
  /** Throws RecordRefusedError for the first that is refused. */
  readonly strict?: boolean
}

/** Before the transaction: what is refused is logged and kept as a reject, and nobody fails of it unless strict. */
export async function prepareRecords(
  records: readonly NewMetadataRecord[],
  { kinds, log, strict, ...options }: PrepareOptions,
): Promise<PreparedRecords> {
  const { tenant } = options.environment
  const texts: string[] = []
  const rejects: MetadataReject[] = []
  const results = await checkAll(quietly(kinds, log), records, (record, known) =>
    checkRecord(record, { ...options, kinds: known }),
  )
  for (const [index, result] of results.entries()) {
    if (result.ok) texts.push(canonicalJson(result.checked.json))
    else {
      if (strict) throw new RecordRefusedError(result.problem)
      const record = records[index]
      log.warn('metadata_record_refused', { kind: record?.kind, ...result.problem })
      rejects.push({ tenant, text: printed(record), problem: result.problem })
    }
  }
  return { tenant, texts, rejects }
}

/** A registry that does not answer fails no load: what it would have known is a reject until it is replayed. */
function quietly(kinds: KindBook, log: Log): KindBook {
  const reload = async () => {
    try {
      await kinds.reload()
    } catch (error) {
      log.warn('metadata_kinds_not_reloaded', { error: toError(error) })
    }
  }
  return { ...kinds, reload }
}

const WRITE: Statement = {
  name: 'write_metadata_outbox',
  text: `insert into metadata.outbox (tenant, record) select $1::text, record from unnest($2::text[]) as record`,
}

/** In the producer's transaction: the records are stored if and only if it commits. */
export async function writeOutbox(tx: Queryable, { tenant, texts, rejects }: PreparedRecords): Promise<void> {
  if (texts.length > 0) await tx.query(WRITE, [tenant, texts])
  await keepRejects(tx, rejects)
}

/** Whatever it is: the reject shall show it. */
function printed(record: unknown): string {
  try {
    return (
      JSON.stringify(record, (_key, value: unknown) => (typeof value === 'bigint' ? String(value) : value)) ??
      'undefined'
    )
  } catch (error) {
    return `(not to be written as JSON: ${String(error)})`
  }
}
