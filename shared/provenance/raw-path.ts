import { formatCompact, formatDate, type Instant, MICROS_PER_DAY } from '../instant.ts'
import { encodePathPart } from '../path-part.ts'

export type RawPlace = {
  readonly source: string
  readonly dataset: string
  readonly timeframe: string | null
  readonly subject: string
  /** Lower end of the window, or the change time of the file: its year and month are the folder's. */
  readonly at: Instant
  readonly sourceIngestId: string
  readonly epoch: number
  readonly pageNo: number
  /** What the body is: `json`, or the ending of the file's name. */
  readonly ending: string
}

/** Path of a raw page inside the container `raw`. Ingest, epoch and page make it unique: it is written once. */
export function rawPath(place: RawPlace): string {
  const [year = '', month = ''] = formatDate(Number(place.at / MICROS_PER_DAY)).split('-')
  const folders = [
    `vendor=${encodePathPart(place.source)}`,
    `dataset=${encodePathPart(place.dataset)}`,
    ...(place.timeframe === null ? [] : [`timeframe=${encodePathPart(place.timeframe)}`]),
    `symbol=${encodePathPart(place.subject)}`,
    `year=${year}`,
    `month=${month}`,
  ]
  const name = `${formatCompact(place.at)}_${place.sourceIngestId}_e${place.epoch}_p${place.pageNo}.${place.ending}.gz`
  return `${folders.join('/')}/${name}`
}

/** The one blob of the container `raw` that is no page: `doctor` proves with it what its writer may do. */
export const PROBE_PATH = '_doctor/probe'
