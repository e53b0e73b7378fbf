import { ContractError, toError } from '../../errors.ts'
import { problem } from '../model/problem.ts'
import type { StoreResult } from '../model/repository.ts'
import { BATCH_RECORDS_MAX } from '../service/wire/records.ts'
import { ATTEMPTS_MAX, backoffMs, pause } from './attempts.ts'
import { problemCode, problemOf, refusalError, storeResult } from './problem.ts'
import { LINE_BYTES_MAX, type RecordLine } from './record-line.ts'
import { readAnswer, type ServiceClient } from './service-client.ts'
import { storeAnswers } from './wire.ts'

const PATH = '/records/batch'

export type Sent = {
  /** In the order of the lines; null: no answer came. It may have been stored, and sending it again is a replay. */
  readonly results: readonly (StoreResult | null)[]
  /** Why some have none. */
  readonly error: Error | null
}

export type SendOptions = {
  readonly stop?: AbortSignal
  /** Of a record that is refused for now. */
  readonly attemptsMax?: number
}

/**
 * Sends records in requests that the service takes. Those that are refused and marked `retriable` (a correction that
 * came before what it corrects) are sent again by themselves, after all others, at most five times in all. Ends with
 * the first request that is not answered.
 */
export async function sendRecords(
  client: ServiceClient,
  lines: readonly RecordLine[],
  { stop, attemptsMax = ATTEMPTS_MAX }: SendOptions = {},
): Promise<Sent> {
  const results: (StoreResult | null)[] = lines.map(() => null)
  let places = [...lines.keys()]
  try {
    for (let attempt = 1; places.length > 0; attempt++) {
      for (const batch of batchesOf(lines, places)) {
        const answered = await sendBatch(
          client,
          batch.map((place) => lineAt(lines, place)),
          stop,
        )
        for (const [index, place] of batch.entries()) results[place] = answered[index] ?? null
      }
      places = places.filter((place) => isRetriable(results[place]))
      if (places.length === 0 || attempt >= attemptsMax) break
      await pause(backoffMs(attempt, client.backoffBaseMs), stop)
    }
    return { results, error: null }
  } catch (error) {
    return { results, error: toError(error) }
  }
}

function isRetriable(result: StoreResult | null | undefined): boolean {
  return result?.outcome === 'refused' && result.problem.retriable
}

function batchesOf(lines: readonly RecordLine[], places: readonly number[]): readonly (readonly number[])[] {
  const batches: number[][] = []
  let bytes = 0
  for (const place of places) {
    const more = lineAt(lines, place).bytes + 1
    const current = batches.at(-1)
    if (current === undefined || current.length >= BATCH_RECORDS_MAX || bytes + more > LINE_BYTES_MAX) {
      batches.push([place])
      bytes = more
    } else {
      current.push(place)
      bytes += more
    }
  }
  return batches
}

function lineAt(lines: readonly RecordLine[], place: number): RecordLine {
  const line = lines[place]
  if (line === undefined) throw new Error(`records: expected a place below ${lines.length}, got ${place}`)
  return line
}

/** What something in between finds too large goes in halves, down to the record that nobody takes. */
async function sendBatch(
  client: ServiceClient,
  lines: readonly RecordLine[],
  stop: AbortSignal | undefined,
): Promise<readonly StoreResult[]> {
  const body = Buffer.from(`{"records":[${lines.map(({ text }) => text).join(',')}]}`)
  const answer = await client.post(PATH, body, stop)
  if (answer.status === 413) {
    if (lines.length > 1) {
      const middle = Math.ceil(lines.length / 2)
      const first = await sendBatch(client, lines.slice(0, middle), stop)
      return [...first, ...(await sendBatch(client, lines.slice(middle), stop))]
    }
    const told = problemOf(answer)
    const why = told === null ? 'status 413' : `${problemCode(told)}: ${told.detail}`
    return [{ outcome: 'refused', problem: problem('record-too-large', `record of ${body.byteLength} bytes: ${why}`) }]
  }
  if (answer.status !== 200) throw refusalError(`metadata service POST ${PATH}`, answer)
  const { results } = readAnswer(storeAnswers, answer, `POST ${PATH}`)
  if (results.length === lines.length) return results.map(storeResult)
  throw new ContractError(`metadata service POST ${PATH}: expected ${lines.length} results, got ${results.length}`)
}
