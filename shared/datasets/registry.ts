import { bars } from './bars.ts'
import type { Dataset } from './contract.ts'

export const DATASETS: ReadonlyMap<string, Dataset> = new Map([bars].map((dataset) => [dataset.name, dataset]))
