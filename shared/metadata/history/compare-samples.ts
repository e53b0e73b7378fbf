import type { MetadataRepository } from '../model/repository.ts'
import type { HistoryTable } from './import-summary.ts'

/** What another system says a table got in a range of time. Instants are RFC 3339. */
export type Sample = {
  readonly target: HistoryTable
  readonly from: string
  readonly to: string
  readonly records?: number | undefined
  readonly bytes?: number | undefined
  readonly runs?: number | undefined
  /** End of the newest window in the range. */
  readonly until?: string | undefined
}

export type SampleFigure = 'records' | 'bytes' | 'runs' | 'until'

export type ComparedSample = {
  readonly sample: Sample
  /** Where the two differ; empty: they agree. */
  readonly differences: readonly {
    readonly figure: SampleFigure
    readonly expected: number | string
    readonly found: number | string | null
  }[]
}

/** JSON (an array of samples) or CSV with a header of the same names. Throws ConfigError with every problem. */
export function parseSamples(_text: string): readonly Sample[] {
  throw new Error('samples: expected to be written, got a first state')
}

export async function compareSamples(_options: {
  readonly repository: Pick<MetadataRepository, 'query'>
  readonly samples: readonly Sample[]
}): Promise<readonly ComparedSample[]> {
  throw new Error('samples: expected to be written, got a first state')
}
