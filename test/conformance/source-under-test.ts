import type { Fault, FaultPlan } from '../../jobs/local/providers/faults.ts'
import type { Simulator } from '../../jobs/local/providers/simulator-server.ts'
import type { StreamEntry, Workbench, WorkbenchOptions } from '../support/workbench.ts'
import type { contentOf } from './source-fixtures.ts'

type StreamOfWindow = StreamEntry & { readonly origin: string; readonly until: string }
type FieldFault = Extract<Fault, { kind: 'field' }>

/** What a source's cases need of its provider's simulator. */
export type SimulatedProvider = {
  readonly faults?: FaultPlan
  /** Pages hold at most this many records. */
  readonly pageRecords?: number
  /** While it says so, one record of the first page is not there yet. */
  readonly isLate?: () => boolean
  /** Only the good credentials are let in. */
  readonly checksCredentials?: boolean
}

/** All that the cases must know of one source. Origins and ends are dates, checkpoints RFC 3339. */
export type SourceUnderTest = {
  readonly name: string
  readonly start: (provider: SimulatedProvider) => Promise<Simulator>
  readonly settings: (url: string) => Readonly<Record<string, string>>
  readonly wrongCredentials: Readonly<Record<string, string>>
  /** One ingest of `records` records, all good, in at least two partitions. */
  readonly stream: StreamOfWindow
  readonly records: number
  /** Of the same provider and credentials, with other partitions. */
  readonly otherStream: StreamOfWindow
  /** The end of the window that follows on `stream`. */
  readonly nextUntil: string
  /** The provider has no record in it. */
  readonly emptyStream: StreamOfWindow
  /** Instants of records inside the window of `stream`, and the records from there on. */
  readonly checkpoints: readonly (readonly [at: string, records: number])[]
  /** Gives `stream` in three pages. */
  readonly pageRecords: number
  /** Bodies in which the provider hides an error behind HTTP 200, and what the source says of each. */
  readonly hidden: Readonly<Record<'throttled' | 'unavailable' | 'auth', readonly [body: string, detail: string]>>
  /** JSON that is no page of this source, and what the source says of it. */
  readonly noPages: readonly (readonly [body: string, detail: string])[]
  /** What becomes of the record whose field is spoiled: a reject, or a row whose column prints as this value. */
  readonly fields: readonly (readonly [
    fault: Pick<FieldFault, 'change' | 'field'>,
    becomes: { readonly reject: string } | { readonly column: string; readonly value: string },
  ])[]
}

export type Open = (options?: {
  readonly provider?: SimulatedProvider
  readonly bench?: Partial<WorkbenchOptions>
  /** Of a bench before; without them untouched ones. */
  readonly services?: Services
}) => Promise<Workbench>

export type Services = Pick<WorkbenchOptions, 'databaseUrl' | 'storageConnectionString'>
export type Content = Awaited<ReturnType<typeof contentOf>>

/** A source with what its cases share: how to open a bench, and what an undisturbed run made. */
export type Suite = {
  readonly source: SourceUnderTest
  readonly open: Open
  readonly newServices: () => Promise<Services>
  readonly clean: () => Content
}
