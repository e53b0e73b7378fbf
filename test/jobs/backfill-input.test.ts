import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type History, hours, openHistory } from '../ingest/history.ts'
import { useTestEnvironment } from '../support/environment.ts'

const MONTHS = [hours('SPX', '2010-01-01', '2010-04-01')]
const NOBODY = '0197c2aa-7c1e-7a35-8d6e-0d8f5b1c2a11'

describe('what is asked of a backfill wrongly', () => {
  const environment = useTestEnvironment()
  let history: History
  beforeAll(async () => {
    history = await openHistory(environment, MONTHS)
  })
  afterAll(() => history.bench.close())

  const plan = ['plan', '--stream', '*']
  const unknown = (id: string) =>
    `backfill: expected the id of a backfill, got "${id}"; tributary backfill status lists those there are`
  const noDate = (option: string, text: string) =>
    `${option}: expected a date such as 2016-01-04 or an instant such as 2016-01-04T14:30:00Z, got "${text}"`

  test.each([
    [[...plan, '--from', 'yesterday'], noDate('--from', 'yesterday')],
    [[...plan, '--from', '2010-02-30'], noDate('--from', '2010-02-30')],
    [[...plan, '--from', '2010-1-1'], noDate('--from', '2010-1-1')],
    [[...plan, '--to', '2010-01-01T00:00'], noDate('--to', '2010-01-01T00:00')],
    [[...plan, '--to', ''], noDate('--to', '')],
    [
      [...plan, '--from', '2010-03-01', '--to', '2010-02-01'],
      '--from: expected an instant before --to, 2010-02-01T00:00:00Z, got 2010-03-01T00:00:00Z',
    ],
    [
      [...plan, '--from', '2010-03-01', '--to', '2010-03-01'],
      '--from: expected an instant before --to, 2010-03-01T00:00:00Z, got 2010-03-01T00:00:00Z',
    ],
    [
      [...plan, '--step', '1d'],
      '--step: expected whole months or years such as 1mo or 1y, because files hold months or years, got "1d"',
    ],
    [
      ['plan', '--stream', 'alpaca/bars/SPY/1h'],
      'stream: expected the name of a stream, * for any text, got "alpaca/bars/SPY/1h"; there are alpaca/bars/SPX/1h',
    ],
    [['run'], 'backfill: expected an id or --next, got neither'],
    [['run', NOBODY, '--next'], 'backfill: expected an id or --next, got both'],
    [['run', NOBODY], unknown(NOBODY)],
    [['run', NOBODY, '--enqueue'], unknown(NOBODY)],
    [['run', 'the-last-one'], unknown('the-last-one')],
    [['status', "' or true --"], unknown("' or true --")],
    [['pause', NOBODY], unknown(NOBODY)],
    [['resume', NOBODY], unknown(NOBODY)],
    [['cancel', NOBODY], unknown(NOBODY)],
  ])('backfill %j is refused with exit 2 and says what was expected', async (argv, message) => {
    expect(await history.cli(['backfill', ...argv])).toMatchObject({ code: 2, out: '', err: `${message}\n` })
  })

  test.each([
    ['--concurrency', '0', '--concurrency: expected a whole number from 1 to 64, got "0"'],
    ['--concurrency', 'many', '--concurrency: expected a whole number from 1 to 64, got "many"'],
    ['--max-wait', '15', '--max-wait: expected a duration such as 90s, 15m, 2h or 3d, got "15"'],
    ['--stop-after', '-1m', '--stop-after: expected a duration such as 90s, 15m, 2h or 3d, got "-1m"'],
  ])('backfill run %s %s is refused with exit 2, and nothing is claimed', async (option, text, message) => {
    const id = await history.plan()
    expect(await history.cli(['backfill', 'run', id, `${option}=${text}`])).toMatchObject({
      code: 2,
      err: `${message}\n`,
    })
    expect(history.bench.simulator.requests).toEqual([])
    await history.cli(['backfill', 'cancel', id])
  })

  test.each([
    [['plan'], "error: required option '--stream <name...>' not specified"],
    [[...plan, '--forward'], "error: unknown option '--forward'"],
    [['pause'], "error: missing required argument 'id'"],
    [['run', NOBODY, NOBODY], 'error: too many arguments'],
  ])('backfill %j is refused by the command line itself, with exit 2', async (argv, message) => {
    const { code, err } = await history.cli(['backfill', ...argv])
    expect(code).toBe(2)
    expect(err).toContain(message)
  })

  test('the id of an ingest is not one of a backfill', async () => {
    const id = await history.plan()
    const [ingest] = await history.bench.query<{ id: string }>(
      'select source_ingest_id as id from provenance.source_ingest where backfill_id = $1 limit 1',
      [id],
    )
    const { code, err } = await history.cli(['backfill', 'run', ingest?.id ?? ''])
    expect([code, err]).toEqual([2, `${unknown(ingest?.id ?? '')}\n`])
    await history.cli(['backfill', 'cancel', id])
  })

  test('a plan of what is all there plans nothing, says so, and exits 0', async () => {
    const id = await history.plan()
    await history.cli(['backfill', 'run', id])
    const { code, json } = await history.cli(['--json', 'backfill', 'plan', '--stream', '*'])
    expect([code, json.backfillId, json.windows]).toEqual([0, null, 0])
    expect((await history.cli(['backfill', 'plan', '--stream', '*'])).out).toBe('nothing to plan\n')
  })
})
