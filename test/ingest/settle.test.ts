import { beforeEach, describe, expect, test } from 'vitest'
import {
  AuthError,
  CancelledError,
  ConfigError,
  ContractError,
  DatabaseUnavailableError,
  LeaseLostError,
  OutdatedError,
  PermanentError,
  RawCollisionError,
  ThrottledError,
  TransientError,
} from '../../shared/errors.ts'
import { settle } from '../../shared/ingest/state/settle.ts'
import { WindowTooLargeError } from '../../shared/ingest/state/split.ts'
import { useGround } from './ground.ts'

const HELD = {
  state: 'landing',
  epoch: 2,
  attempts: 3,
  attempting_since: '2020-01-01',
  claimed_by: 'w',
  lo: '2020-01-01',
}
const SETTINGS = { TRIBUTARY_QUARANTINE_ATTEMPTS: '5', TRIBUTARY_QUARANTINE_SECONDS: '3600' }

/** What an error means for an ingest: what the worker is told, the state afterwards, attempts, seconds to wait at most. */
const MEANINGS: readonly (readonly [Error, string, string, number, number | null])[] = [
  [new TransientError('network'), 'retry', 'planned', 3, 40],
  [new Error('a bug of ours'), 'retry', 'planned', 3, 40],
  [new ThrottledError('slow down', { retryAfterMs: 90_000 }), 'given-back', 'planned', 2, 90],
  [new OutdatedError('newer'), 'given-back', 'planned', 2, 60],
  [new CancelledError('stop'), 'given-back', 'planned', 2, 0],
  [new ConfigError(['ALPACA_KEY_ID: expected a value, got none']), 'given-back', 'planned', 2, 300],
  [new AuthError('401'), 'given-back', 'planned', 2, 0],
  [new ContractError('html'), 'quarantined', 'quarantined', 3, null],
  [new PermanentError('damaged'), 'failed', 'failed', 3, null],
  [new RawCollisionError('other bytes'), 'failed', 'failed', 3, null],
]

describe('an ingest whose work threw', () => {
  const ground = useGround(SETTINGS)
  beforeEach(() => ground.clear())
  const settled = async (id: string, error: unknown) => settle(ground.platform, await ground.claimOf(id), error)

  for (const [error, outcome, state, attempts, waitSMax] of MEANINGS) {
    test(`${error.name} (${error.message.slice(0, 20)}): ${outcome}, and the row says why`, async () => {
      const id = await ground.ingest(await ground.stream(), HELD)
      expect(await settled(id, error)).toBe(outcome)
      expect(await ground.ingestRow(id)).toMatchObject({
        state,
        attempts,
        epoch: 2,
        claimed_by: null,
        lease_expires_at: null,
        error_class: error.name,
        error_summary: error.message,
      })
      const [row] = await ground.query<{ wait: boolean; ended: boolean }>(
        `select coalesce(next_attempt_at <= now() + make_interval(secs => $1::float8), $1 is null) as wait,
                finished_at is not null as ended from provenance.source_ingest`,
        [waitSMax],
      )
      expect(row).toEqual({ wait: true, ended: waitSMax === null })
    })
  }

  test('a lost lease changes nothing', async () => {
    const id = await ground.ingest(await ground.stream(), HELD)
    const before = await ground.everything()
    expect(await settled(id, new LeaseLostError('another worker'))).toBe('lease-lost')
    expect(await ground.everything()).toEqual(before)
  })

  test('what is thrown and no error is settled too', async () => {
    const id = await ground.ingest(await ground.stream(), HELD)
    expect(await settled(id, 'text')).toBe('retry')
    expect((await ground.ingestRow(id)).error_summary).toBe('thrown value that is no error: text')
  })

  test('a database that does not answer is thrown on: the message comes again', async () => {
    const id = await ground.ingest(await ground.stream(), HELD)
    await expect(settled(id, new DatabaseUnavailableError('gone'))).rejects.toThrow(DatabaseUnavailableError)
  })

  test('a retry of curating returns to landed: the provider is not asked again', async () => {
    const id = await ground.ingest(await ground.stream(), { ...HELD, state: 'curating', landed_epoch: 1 })
    expect(await settled(id, new TransientError('storage'))).toBe('retry')
    expect(await ground.ingestRow(id)).toMatchObject({ state: 'landed', landed_epoch: 1 })
  })

  test.each([
    ['few attempts over a long time', 4, '2020-01-01', 'planned'],
    ['many attempts within a short time', 50, 'now', 'planned'],
    ['many attempts over a long time', 5, '2020-01-01', 'quarantined'],
  ])('%s: %i attempts since %s lead to %s', async (_name, attempts, attempting_since, state) => {
    const id = await ground.ingest(await ground.stream(), { ...HELD, attempts, attempting_since })
    await settled(id, new TransientError('network'))
    expect((await ground.ingestRow(id)).state).toBe(state)
  })

  test('refused credentials pause the stream with the reason', async () => {
    const streamId = await ground.stream()
    await settled(await ground.ingest(streamId, HELD), new AuthError('page 0: status 401'))
    expect(await ground.streamRow(streamId)).toMatchObject({ paused: true, paused_reason: 'auth: page 0: status 401' })
  })

  test('I5 no zombie wins: whatever a worker without its lease finds, it changes no row, the stream neither', async () => {
    const errors = [...MEANINGS.map(([error]) => error), new WindowTooLargeError('too large')]
    const id = await ground.ingest(await ground.stream(), HELD)
    const zombie = await ground.claimOf(id)
    await ground.query('update provenance.source_ingest set epoch = 3')
    const before = await ground.everything()
    for (const error of errors) expect(await settle(ground.platform, zombie, error)).toBe('lease-lost')
    expect(await ground.everything()).toEqual(before)
  })

  test('a message of megabytes is kept in part', async () => {
    const id = await ground.ingest(await ground.stream(), HELD)
    await settled(id, new PermanentError('x'.repeat(1_000_000)))
    expect(String((await ground.ingestRow(id)).error_summary)).toHaveLength(2_000)
  })
})
