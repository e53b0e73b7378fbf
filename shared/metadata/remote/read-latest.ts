import { ContractError, ThrottledError, TransientError } from '../../errors.ts'
import type { MetadataRecord } from '../model/record.ts'
import { checkSeries, normalSeries } from '../model/record-filter.ts'
import type { LatestRecord, MetadataRepository } from '../model/repository.ts'
import { latestRecord, latestResults } from '../service/wire/records.ts'
import type { LatestCache } from './latest-cache.ts'
import { isNothing, refusalError } from './problem.ts'
import { readAnswer, type ServiceClient } from './service-client.ts'

const MANY = '/records/latest/query'

type NormalSeries = ReturnType<typeof normalSeries>

/**
 * Asks each time, of one series with the ETag of the last answer. Where the service gives no answer in time the last
 * one serves while the cache keeps it; else TransientError or ThrottledError says so, and it is the caller's to go on
 * without.
 */
export function latestReader(
  client: ServiceClient,
  cache: LatestCache,
  check: (records: readonly MetadataRecord[]) => void,
): Pick<MetadataRepository, 'latest' | 'latestOfMany'> {
  const askOne = async (series: NormalSeries): Promise<LatestRecord | null> => {
    const { target, kind, scope } = series
    const known = cache.get(keyOf(series))
    const answer = await client.get('/records/latest', { ...target, kind, scope }, known?.etag)
    if (answer.status === 304 && known !== undefined) {
      cache.set(keyOf(series), known)
      return known.latest
    }
    const found = isNothing(answer) ? null : readAnswer(latestRecord, answer, 'GET /records/latest')
    const latest = found && { record: found.record, changeNo: found.changeNo }
    if (latest !== null) check([latest.record])
    cache.set(keyOf(series), { latest, etag: answer.headers.etag })
    return latest
  }

  const askMany = async (series: readonly NormalSeries[]): Promise<readonly (LatestRecord | null)[]> => {
    const answer = await client.ask(MANY, Buffer.from(JSON.stringify({ series })))
    if (answer.status !== 200) throw refusalError(`metadata service POST ${MANY}`, answer)
    const { results } = readAnswer(latestResults, answer, `POST ${MANY}`)
    if (results.length !== series.length) {
      const came = `expected ${series.length} results, got ${results.length}`
      throw new ContractError(`metadata service POST ${MANY}: ${came}`)
    }
    const found = results.map((one) =>
      one.outcome === 'found' ? { record: one.record, changeNo: one.changeNo } : null,
    )
    check(found.flatMap((latest) => (latest === null ? [] : [latest.record])))
    for (const [place, one] of series.entries()) {
      cache.set(keyOf(one), { latest: found[place] ?? null, etag: undefined })
    }
    return found
  }

  return {
    async latest(asked) {
      const series = normalSeries(asked)
      return askOne(series).catch((error: unknown) => lastAnswers(cache, [series], error)[0] ?? null)
    },
    async latestOfMany(asked) {
      const series = checkSeries(asked).map(normalSeries)
      if (series.length === 0) return []
      return askMany(series).catch((error: unknown) => lastAnswers(cache, series, error))
    },
  }
}

/** All of them, or the error: half an answer would look like a whole one. */
function lastAnswers(
  cache: LatestCache,
  series: readonly NormalSeries[],
  error: unknown,
): readonly (LatestRecord | null)[] {
  if (!(error instanceof TransientError || error instanceof ThrottledError)) throw error
  return series.map((one) => {
    const known = cache.get(keyOf(one))
    if (known === undefined) throw error
    return known.latest
  })
}

function keyOf({ target, kind, scope }: NormalSeries): string {
  return JSON.stringify([target.sourceId, target.schema, target.table, kind, scope])
}
