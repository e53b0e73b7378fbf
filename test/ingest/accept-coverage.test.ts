import { beforeEach, describe, expect, test } from 'vitest'
import { ConfigError } from '../../shared/errors.ts'
import { acceptCoverage, formatRanges, unacceptCoverage } from '../../shared/ingest/plan/accept-coverage.ts'
import { planWindows } from '../../shared/ingest/plan/plan.ts'
import { selectStream } from '../../shared/ingest/plan/select-streams.ts'
import { parseInstant } from '../../shared/instant.ts'
import { reconcileAlerts } from '../../shared/ops/standing-alerts.ts'
import { useGround } from './ground.ts'

const BY = { actor: 'ada', reason: 'the provider has none' }
const at = (text: string) => parseInstant(text.length === 10 ? `${text}T00:00:00Z` : text) as bigint
const window = (from: string, to: string) => ({ lo: at(from), hi: at(to) })

describe('coverage that a person accepts', () => {
  const ground = useGround()
  beforeEach(() => ground.clear())
  const open = async (columns = {}) => {
    const streamId = await ground.stream({ subject: 'TSLA', until: '2020-01-31', ...columns })
    return { streamId, stream: await selectStream(ground.platform.db, 'alpaca/bars/TSLA/1d') }
  }
  const accept = (stream: Awaited<ReturnType<typeof open>>['stream'], from: string, to: string) =>
    acceptCoverage(ground.platform.db, { stream, window: window(from, to), ...BY })
  const unaccept = (stream: Awaited<ReturnType<typeof open>>['stream'], from: string, to: string) =>
    unacceptCoverage(ground.platform.db, { stream, window: window(from, to), ...BY })
  const audit = () => ground.query('select actor, action, subject, after from ops.audit order by audit_id')

  test('moves the checkpoint over the hole and says in the audit who and why', async () => {
    const { stream } = await open({ published: '{[2020-01-01,2020-01-11),[2020-01-13,2020-01-20)}' })
    const change = await accept(stream, '2020-01-11', '2020-01-13')
    expect(change).toMatchObject({ checkpoint: at('2020-01-20'), changed: [window('2020-01-11', '2020-01-13')] })
    expect(await audit()).toEqual([
      {
        actor: 'ada',
        action: 'accept_coverage',
        subject: 'alpaca/bars/TSLA/1d',
        after: {
          reason: BY.reason,
          changed: ['2020-01-11T00:00:00Z … 2020-01-13T00:00:00Z'],
          checkpoint: '2020-01-20T00:00:00Z',
        },
      },
    ])
  })

  test('is planned no more, and planned again once it is taken back', async () => {
    const { stream, streamId } = await open({
      published: '{[2020-01-05,2020-01-31)}',
      fetched: '{[2020-01-05,2020-01-31)}',
    })
    await accept(stream, '2020-01-01', '2020-01-05')
    const run = { initiatedBy: 'test', pipelineRunId: null }
    expect((await planWindows(ground.platform.db, run)).planned).toEqual([])
    expect((await unaccept(stream, '2020-01-03', '2020-01-31')).changed).toEqual([window('2020-01-03', '2020-01-05')])
    expect((await planWindows(ground.platform.db, run)).planned).toHaveLength(1)
    const [planned] = await ground.query(
      'select lo::text, hi::text from provenance.source_ingest where stream_id = $1',
      [streamId],
    )
    expect(planned).toEqual({ lo: '2020-01-03 00:00:00+00', hi: '2020-01-05 00:00:00+00' })
  })

  test('ends the alert about what failed in it, and leaves the ingest as it is', async () => {
    const { stream, streamId } = await open({ published: '{[2020-01-05,2020-01-31)}' })
    const id = await ground.ingest(streamId, {
      lo: '2020-01-01',
      hi: '2020-01-05',
      state: 'failed',
      error_summary: '404',
    })
    const before = await ground.ingestRow(id)
    const alerts = async () => {
      await reconcileAlerts(ground.platform.db)
      return (await ground.query(`select kind from ops.alert where closed_at is null and kind = 'failed_ingest'`))
        .length
    }
    expect(await alerts()).toBe(1)
    expect((await accept(stream, '2020-01-01', '2020-01-05')).waiting).toEqual([
      { sourceIngestId: id, state: 'failed' },
    ])
    expect(await alerts()).toBe(0)
    expect(await ground.ingestRow(id)).toEqual(before)
  })

  test('a second time changes nothing and leaves no second row in the audit', async () => {
    const { stream } = await open()
    await accept(stream, '2020-01-01', '2020-01-05')
    expect(await accept(stream, '2020-01-02', '2020-01-04')).toMatchObject({
      changed: [],
      checkpoint: at('2020-01-05'),
    })
    await unaccept(stream, '2020-01-01', '2020-01-05')
    expect((await unaccept(stream, '2020-01-01', '2020-01-05')).changed).toEqual([])
    expect((await audit()).map(({ action }) => action)).toEqual(['accept_coverage', 'unaccept_coverage'])
  })

  test.each([
    [
      'an end that is no multiple of the granularity',
      '2020-01-01',
      '2020-01-02T12:00:00Z',
      /^to: expected a multiple of 86400 s, the granularity of alpaca\/bars\/TSLA\/1d, such as 2020-01-02T00:00:00Z or 2020-01-03T00:00:00Z, got 2020-01-02T12:00:00Z$/,
    ],
    [
      'an end that is not after the beginning',
      '2020-01-02',
      '2020-01-02',
      /^window of alpaca\/bars\/TSLA\/1d: expected from before to, got 2020-01-02T00:00:00Z and 2020-01-02T00:00:00Z$/,
    ],
    [
      'a beginning before the origin',
      '2019-12-31',
      '2020-01-02',
      /^from: expected the origin of .*, 2020-01-01T00:00:00Z, or later, got 2019-12-31T00:00:00Z$/,
    ],
    [
      'an end after the end of the stream',
      '2020-01-30',
      '2020-02-02',
      /^to: expected the end of .*, 2020-01-31T00:00:00Z, or earlier, got 2020-02-02T00:00:00Z$/,
    ],
    [
      'what is published',
      '2020-01-09',
      '2020-01-13',
      /got 2020-01-09T00:00:00Z … 2020-01-11T00:00:00Z, which is; missing is 2020-01-11T00:00:00Z … 2020-01-13T00:00:00Z$/,
    ],
    [
      'what an ingest is working on',
      '2020-01-13',
      '2020-01-18',
      /expected no active ingest in it, got ingest [0-9a-f-]{36}, planned, 2020-01-15T00:00:00Z … 2020-01-16T00:00:00Z; wait for it, or take it back with: tributary ingest cancel [0-9a-f-]{36}$/,
    ],
  ])('is refused for %s', async (_what, from, to, message) => {
    const { stream, streamId } = await open({ published: '{[2020-01-01,2020-01-11)}' })
    await ground.ingest(streamId, { lo: '2020-01-15', hi: '2020-01-16' })
    const before = await ground.everything()
    const refused = accept(stream, from, to)
    await expect(refused).rejects.toThrow(message)
    await expect(refused).rejects.toThrow(ConfigError)
    expect(await ground.everything()).toEqual(before)
  })

  test('is refused for what has not been asked for yet', async () => {
    const { stream } = await open({ until: null })
    await expect(accept(stream, '2020-01-01', '2999-01-01')).rejects.toThrow(
      /^to: expected 20\d\d-.* or earlier, until where/,
    )
  })

  test('names ranges so that they can be given back', () => {
    expect(formatRanges([window('2020-01-01', '2020-01-02')])).toBe('2020-01-01T00:00:00Z … 2020-01-02T00:00:00Z')
    expect(formatRanges([])).toBe('nothing')
  })
})
