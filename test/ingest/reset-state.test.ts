import { beforeEach, describe, expect, test } from 'vitest'
import { planWindows } from '../../shared/ingest/plan/plan.ts'
import { selectStream } from '../../shared/ingest/plan/select-streams.ts'
import { resetCoverage } from '../../shared/ingest/state/reset-state.ts'
import { parseInstant } from '../../shared/instant.ts'
import { useGround } from './ground.ts'

const at = (date: string) => parseInstant(`${date}T00:00:00Z`) as bigint
const COVERED = {
  subject: 'TSLA',
  until: '2020-01-31',
  fetched: '{[2020-01-01,2020-01-31)}',
  published: '{[2020-01-01,2020-01-11),[2020-01-15,2020-01-31)}',
  accepted: '{[2020-01-11,2020-01-13)}',
}
const PAUSED = { ...COVERED, paused: true, paused_reason: 'restated' }

describe('a reset of coverage', () => {
  const ground = useGround()
  beforeEach(() => ground.clear())
  const reset = async (from: string, apply = true) => {
    const stream = await selectStream(ground.platform.db, 'alpaca/bars/TSLA/1d')
    const by = { actor: 'ada', reason: 'the provider restated it' }
    return resetCoverage(ground.platform.db, { stream, from: at(from), ...by, apply })
  }

  test('takes back what is fetched and published from an instant on, and nothing that was accepted', async () => {
    const streamId = await ground.stream(PAUSED)
    expect(await reset('2020-01-06')).toEqual({
      stream: 'alpaca/bars/TSLA/1d',
      from: at('2020-01-06'),
      applied: true,
      before: {
        fetched: [{ lo: at('2020-01-01'), hi: at('2020-01-31') }],
        published: [
          { lo: at('2020-01-01'), hi: at('2020-01-11') },
          { lo: at('2020-01-15'), hi: at('2020-01-31') },
        ],
        checkpoint: at('2020-01-13'),
      },
      after: {
        fetched: [{ lo: at('2020-01-01'), hi: at('2020-01-06') }],
        published: [{ lo: at('2020-01-01'), hi: at('2020-01-06') }],
        checkpoint: at('2020-01-06'),
      },
      taken: {
        fetched: [{ lo: at('2020-01-06'), hi: at('2020-01-31') }],
        published: [
          { lo: at('2020-01-06'), hi: at('2020-01-11') },
          { lo: at('2020-01-15'), hi: at('2020-01-31') },
        ],
      },
      failed: 0,
    })
    expect(await ground.streamRow(streamId)).toMatchObject({
      fetched: '{["2020-01-01 00:00:00+00","2020-01-06 00:00:00+00")}',
      published: '{["2020-01-01 00:00:00+00","2020-01-06 00:00:00+00")}',
      accepted: '{["2020-01-11 00:00:00+00","2020-01-13 00:00:00+00")}',
    })
  })

  test('is planned again once the stream is resumed', async () => {
    const streamId = await ground.stream({ ...PAUSED, planned_until: '2020-01-31' })
    await reset('2020-01-13')
    await ground.query('update ingest.stream set paused = false where stream_id = $1', [streamId])
    await planWindows(ground.platform.db, { initiatedBy: 'test', pipelineRunId: null })
    const planned = await ground.query(
      'select lo::date::text as lo, hi::date::text as hi from provenance.source_ingest order by lo',
    )
    expect(planned).toEqual([
      { lo: '2020-01-13', hi: '2020-01-21' },
      { lo: '2020-01-21', hi: '2020-01-31' },
    ])
  })

  test('shows the difference first and changes nothing, also of a stream that runs', async () => {
    await ground.stream(COVERED)
    const before = await ground.everything()
    expect(await reset('2020-01-06', false)).toMatchObject({ applied: false, after: { checkpoint: at('2020-01-06') } })
    expect(await ground.everything()).toEqual(before)
  })

  test('leaves the coverage from before and after in the audit, once', async () => {
    await ground.stream(PAUSED)
    await reset('2020-01-15')
    expect((await reset('2020-01-15')).applied).toBe(false)
    expect(await ground.query('select actor, action, subject, before, after from ops.audit')).toEqual([
      {
        actor: 'ada',
        action: 'reset_state',
        subject: 'alpaca/bars/TSLA/1d',
        before: {
          fetched: ['2020-01-01T00:00:00Z … 2020-01-31T00:00:00Z'],
          published: ['2020-01-01T00:00:00Z … 2020-01-11T00:00:00Z', '2020-01-15T00:00:00Z … 2020-01-31T00:00:00Z'],
          checkpoint: '2020-01-13T00:00:00Z',
        },
        after: {
          reason: 'the provider restated it',
          fetched: ['2020-01-01T00:00:00Z … 2020-01-15T00:00:00Z'],
          published: ['2020-01-01T00:00:00Z … 2020-01-11T00:00:00Z'],
          checkpoint: '2020-01-13T00:00:00Z',
        },
      },
    ])
  })

  test('counts the failed ingests whose windows it cannot give back', async () => {
    const streamId = await ground.stream(PAUSED)
    await ground.ingest(streamId, { state: 'failed', lo: '2020-01-13', hi: '2020-01-15' })
    await ground.ingest(streamId, { state: 'failed', lo: '2020-01-01', hi: '2020-01-05' })
    expect((await reset('2020-01-06')).failed).toBe(1)
  })

  test.each([
    [
      'runs',
      COVERED,
      '2020-01-06',
      /^stream .*: expected a paused stream to reset, got one that runs; first: tributary streams pause alpaca\/bars\/TSLA\/1d --reason …$/,
    ],
    [
      'begins later',
      PAUSED,
      '2019-12-31',
      /^from: expected the origin of .*, 2020-01-01T00:00:00Z, or later, got 2019-12-31T00:00:00Z$/,
    ],
    [
      'has an active ingest there',
      { ...PAUSED, active: true },
      '2020-01-06',
      /^stream .*: expected no active ingest from 2020-01-06T00:00:00Z on, got ingest .*, curating, 2020-01-13.* … 2020-01-15.*; wait for it/,
    ],
  ])(
    'is refused for a stream that %s',
    async (_what, { active = false, ...columns }: Record<string, unknown>, from, message) => {
      const streamId = await ground.stream(columns)
      if (active) await ground.ingest(streamId, { state: 'curating', lo: '2020-01-13', hi: '2020-01-15' })
      const before = await ground.everything()
      await expect(reset(from)).rejects.toThrow(message)
      expect(await ground.everything()).toEqual(before)
    },
  )

  test('does not mind an active ingest that ends before it', async () => {
    const streamId = await ground.stream(PAUSED)
    await ground.ingest(streamId, { state: 'planned', lo: '2020-01-01', hi: '2020-01-06' })
    expect((await reset('2020-01-06')).applied).toBe(true)
  })
})
