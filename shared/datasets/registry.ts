import { bars } from './bars.ts'
import type { Dataset } from './contract.ts'
import { observations } from './observations.ts'

export const DATASETS: ReadonlyMap<string, Dataset> = new Map(
  [bars, observations].map((dataset) => [dataset.name, dataset]),
)
