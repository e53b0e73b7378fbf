import { toError } from '../../errors.ts'
import type { Log } from '../../log/log.ts'
import type { MetadataContext, MetadataTarget, NewMetadataRecord } from '../model/record.ts'
import type { MetadataRepository, StoreResult } from '../model/repository.ts'

/** What a producer is asked about, and in what connection. */
export type MetadataRequest = { readonly target: MetadataTarget; readonly context: MetadataContext }

export type MetadataProducer = {
  /** Stable: `catalog.v1`. Every record of it carries it. */
  readonly producerId: string
  /** The load fails where this producer does. */
  readonly strict?: boolean
  readonly produce: (request: MetadataRequest) => Promise<readonly NewMetadataRecord[]>
}

export type Produced = {
  readonly producerId: string
  /** Empty where the producer failed. */
  readonly results: readonly StoreResult[]
  readonly error: Error | null
}

export type MetadataProducerRunner = {
  /** One after the other; throws the first error of a strict producer once all have run. */
  readonly run: (request: MetadataRequest) => Promise<readonly Produced[]>
}

export type RunnerOptions = {
  readonly producers: readonly MetadataProducer[]
  readonly repository: Pick<MetadataRepository, 'bulkStore'>
  readonly log: Log
}

/** A record that is not stored is a failure of its producer; one that was stored before is none. */
export function createProducerRunner({ producers, repository, log }: RunnerOptions): MetadataProducerRunner {
  const runOne = async (producer: MetadataProducer, request: MetadataRequest): Promise<Produced> => {
    const { producerId } = producer
    try {
      const records = await producer.produce(request)
      const foreign = records.find((record) => record.producerId !== producerId)
      if (foreign !== undefined) {
        throw new Error(`producer ${producerId}: expected records of its own, got one of ${foreign.producerId}`)
      }
      const results = await repository.bulkStore(records)
      return { producerId, results, error: refusalError(producerId, results) }
    } catch (error) {
      return { producerId, results: [], error: toError(error) }
    }
  }
  return {
    async run(request) {
      const produced: Produced[] = []
      let failure: Error | undefined
      for (const producer of producers) {
        const done = await runOne(producer, request)
        produced.push(done)
        if (done.error === null) continue
        log.warn('metadata_producer_failed', { producer: producer.producerId, error: done.error })
        if (producer.strict) failure ??= done.error
      }
      if (failure !== undefined) throw failure
      return produced
    },
  }
}

function refusalError(producerId: string, results: readonly StoreResult[]): Error | null {
  const refused = results.flatMap((result) => (result.outcome === 'refused' ? [result.problem.detail] : []))
  const [first] = refused
  if (first === undefined) return null
  return new Error(`producer ${producerId}: expected its records to be stored, got ${refused.length} refused: ${first}`)
}
