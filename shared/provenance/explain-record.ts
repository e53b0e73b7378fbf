import type { Dataset } from '../datasets/contract.ts'
import { createRecordSink, type RecordSink } from '../datasets/record-sink.ts'
import type { BoundSource } from '../sources/contract.ts'
import { type ShownRow, shownRow } from './explain-row.ts'

/** One record of a raw page, as it stands there and as today's transform reads it. */
export type ExplainedRecord = {
  readonly ordinal: number
  /** As JSON; integers that JavaScript would change are their digits as text. Null where the page has no such record. */
  readonly json: string | null
  /** Null where it does not fit its contract. */
  readonly row: ShownRow | null
  readonly reject: { readonly code: string; readonly detail: string } | null
}

export function explainRecord(
  { dataset, bound }: { readonly dataset: Dataset; readonly bound: BoundSource },
  body: Uint8Array,
  ordinal: number,
): ExplainedRecord {
  const sink = createRecordSink(dataset)
  let record: { readonly value: unknown } | undefined
  let at = 0
  const watching: RecordSink = {
    column: sink.column,
    fail: sink.fail,
    end(value) {
      if (at++ === ordinal) record = { value }
      sink.end(value)
    },
  }
  bound.records(body, watching)
  const { rows, ordinals, rejects } = sink.finish()
  const row = ordinals.indexOf(ordinal)
  const reject = rejects.find((one) => one.ordinal === ordinal)
  return {
    ordinal,
    json: record === undefined ? null : JSON.stringify(record.value, digits),
    row: row < 0 ? null : shownRow(dataset, rows, row),
    reject: reject === undefined ? null : { code: reject.code, detail: reject.detail },
  }
}

function digits(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value
}
