import type { z } from 'zod'
import type { Dataset } from '../datasets/contract.ts'
import type { RecordSink } from '../datasets/record-sink.ts'
import type { BoundFiles, FileSource } from './contract.ts'

export type FileSourceSpec<Params> = {
  readonly id: string
  readonly dataset: Dataset
  readonly params: z.ZodType<Params>
  /** Grows with every change of `records`, of the dataset's contract or of its key. Never goes back. */
  readonly transformVersion: number
  readonly bodyBytesMax: number
  /** Names the stream in paths and state. */
  readonly subject: (params: Params) => string
  readonly timeframe?: (params: Params) => string
  readonly count: (body: Uint8Array, params: Params) => ReturnType<BoundFiles['count']>
  /** Pure, as of a provider: appends each record of the file to `into`, as a row or as a reject. No I/O, no clock. */
  readonly records: (body: Uint8Array, params: Params, into: RecordSink) => void
}

export function defineFileSource<Params>(spec: FileSourceSpec<Params>): FileSource {
  return {
    ...spec,
    kind: 'files',
    bind(input) {
      const params = spec.params.parse(input)
      return {
        params,
        subject: spec.subject(params),
        timeframe: spec.timeframe?.(params),
        count: (body) => spec.count(body, params),
        records: (body, into) => spec.records(body, params, into),
      }
    },
  }
}
