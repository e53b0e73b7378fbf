import { MICROS_PER_SECOND } from '../../instant.ts'
import { recordKey } from '../model/identity.ts'
import { instantText } from '../model/instant-text.ts'
import { ingestionVolume } from '../model/kinds/ingestion-volume.ts'
import type { MetadataRecord } from '../model/record.ts'
import { type MetadataRepository, PAGE_LIMIT_MAX } from '../model/repository.ts'
import { instantOf } from './merged-record.ts'
import type { Sample } from './samples.ts'

export type SampleFigure = 'records' | 'bytes' | 'runs' | 'until'

export type ComparedSample = {
  readonly sample: Sample
  /** Where the two differ; empty: they agree. `found` null: nothing that says so. */
  readonly differences: readonly {
    readonly figure: SampleFigure
    readonly expected: number | string
    readonly found: number | string | null
  }[]
}

const FIGURES = ['records', 'bytes', 'runs', 'until'] as const

/**
 * Compares what the volumes of a table say with what another system says, over windows that lie in the range (or ends,
 * where a run tells no window). Of the records that are hot: an import is compared when it was made.
 */
export async function compareSamples({
  repository,
  samples,
}: {
  readonly repository: Pick<MetadataRepository, 'query'>
  readonly samples: readonly Sample[]
}): Promise<readonly ComparedSample[]> {
  const compared: ComparedSample[] = []
  for (const sample of samples) {
    const found = figuresOf(await factsOf(repository, sample))
    const differences = FIGURES.flatMap((figure) => {
      const expected = sample[figure]
      if (expected === undefined || expected === found[figure]) return []
      return [{ figure, expected, found: found[figure] }]
    })
    compared.push({ sample, differences })
  }
  return compared
}

/** Each fact once, as its highest revision says it. */
async function factsOf(
  repository: Pick<MetadataRepository, 'query'>,
  { target, from, to }: Sample,
): Promise<readonly MetadataRecord[]> {
  const facts = new Map<string, MetadataRecord>()
  // A window that ends with the range is effective at its end, which the half-open filter leaves out.
  const filter = { kind: ingestionVolume.kind, target, from, to: instantText(instantOf(to) + MICROS_PER_SECOND) }
  for (let after: string | undefined; ; ) {
    const { records, next } = await repository.query(filter, { limit: PAGE_LIMIT_MAX, after })
    for (const record of records) {
      const key = recordKey(record)
      if ((facts.get(key)?.revision ?? -1) < record.revision) facts.set(key, record)
    }
    if (next === null) break
    after = next
  }
  return [...facts.values()].filter(({ window, effectiveAt }) =>
    window === undefined ? effectiveAt >= from && effectiveAt < to : window.start >= from && window.end <= to,
  )
}

function figuresOf(facts: readonly MetadataRecord[]) {
  const volumes = facts.map(({ payload }) => ingestionVolume.payload.parse(payload))
  const ends = facts.flatMap(({ window }) => (window === undefined ? [] : [window.end])).sort()
  const bytes = volumes.flatMap((volume) => (volume.bytes === undefined ? [] : [volume.bytes]))
  return {
    records: sum(volumes.map(({ records }) => records)),
    // Of runs that tell none it would be too little.
    bytes: bytes.length === volumes.length ? sum(bytes) : null,
    runs: facts.length,
    until: ends.at(-1) ?? null,
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
