import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { reportPoison } from '../../shared/ingest/work.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { lakeState } from '../support/lake-state.ts'
import { openWorkbench, type Workbench } from '../support/workbench.ts'

const ID = '01920000-0000-7000-8000-000000000000'
const EXPECTED = 'message: expected {"v":1,"sourceIngestId":"<uuid>"}, got '

const BAD: readonly (readonly [what: string, body: unknown, problem: string])[] = [
  ['text', 'hello', `${EXPECTED}hello`],
  ['nothing', null, `${EXPECTED}null`],
  ['a list', [1], `${EXPECTED}[1]`],
  ['no id', { v: 1 }, `${EXPECTED}{"v":1}`],
  ['no version', { sourceIngestId: ID }, `${EXPECTED}{"sourceIngestId":"${ID}"}`],
  ['an id that is none', { v: 1, sourceIngestId: 'x' }, `${EXPECTED}{"v":1,"sourceIngestId":"x"}`],
  ['more than it should', { v: 1, sourceIngestId: ID, x: 1 }, `${EXPECTED}{"v":1,"sourceIngestId":"${ID}","x":1}`],
  ['a version as text', { v: '1', sourceIngestId: ID }, 'message: expected version 1, got "1"'],
  ['another version', { v: 2, sourceIngestId: ID }, 'message: expected version 1, got 2'],
  [
    'an ingest of another database',
    { v: 1, sourceIngestId: ID },
    `message: expected an ingest of this database, got ${ID}`,
  ],
  ['a long text', 'x'.repeat(1000), `${EXPECTED}${'x'.repeat(200)}…`],
]

describe('I8 bad input is loud: a message that is no hint of ours', () => {
  const environment = useTestEnvironment()
  let bench: Workbench
  beforeAll(async () => {
    bench = await openWorkbench(environment)
    await bench.plan()
  })
  afterAll(() => bench.close())

  const detailOf = async (kind: string, subject: string) => {
    const alerts = await bench.query<{ detail: unknown }>(
      'select detail from ops.alert where kind = $1::text and subject = $2::text and closed_at is null',
      [kind, subject],
    )
    return alerts.map(({ detail }) => detail)
  }

  test.each(BAD)('with %s is acknowledged, and alerted with what came', async (_what, body, problem) => {
    const before = await lakeState(bench.platform)
    for (const queue of ['land', 'curate'] as const) {
      expect(await bench[queue](body)).toBe('bad-message')
      expect(await detailOf('bad_message', queue)).toEqual([{ problem }])
      expect(bench.logged.at(-1)).toMatchObject({ level: 'error', event: 'bad_message', queue, problem })
    }
    expect(await lakeState(bench.platform)).toEqual(before)
  })

  test('in a poison queue is reported whatever it is, and changes no ingest', async () => {
    const before = await lakeState(bench.platform)
    for (const body of [undefined, 'hello', { v: 1 }]) await reportPoison(bench.platform, 'land', body)
    expect(await detailOf('poison_message', 'land')).toEqual([{ problem: `${EXPECTED}{"v":1}` }])
    const [ingest] = await bench.query<{ id: string }>('select source_ingest_id as id from provenance.source_ingest')
    await reportPoison(bench.platform, 'curate', { v: 1, sourceIngestId: ingest?.id })
    expect(await detailOf('poison_message', 'curate')).toEqual([{ source_ingest_id: ingest?.id }])
    expect(await lakeState(bench.platform)).toEqual(before)
  })

  test('does not hold up the good one behind it', async () => {
    await bench.platform.queues.send('land', 'hello')
    await bench.settle()
    expect((await lakeState(bench.platform)).records).toBe(500)
  })
})
