import { beforeEach, describe, expect, test } from 'vitest'
import { closeAlert, openAlert } from '../../shared/ops/alerts.ts'
import { withPipelineRun } from '../../shared/ops/pipeline-run.ts'
import { useGround } from '../ingest/ground.ts'

describe('a pipeline run', () => {
  const ground = useGround()
  beforeEach(() => ground.clear())
  const runs = () =>
    ground.query(
      'select job, status, error_summary as error, finished_at is not null as ended from ops.pipeline_runs order by started_at',
    )

  test('has a row while it runs, and its end afterwards', async () => {
    const result = await withPipelineRun(ground.platform, 'sweep', async () => {
      expect(await runs()).toEqual([{ job: 'sweep', status: 'running', error: null, ended: false }])
      return 42
    })
    expect(result).toBe(42)
    expect(await runs()).toEqual([{ job: 'sweep', status: 'success', error: null, ended: true }])
  })

  test('that fails keeps its error and throws it on', async () => {
    const error = new Error('x'.repeat(5_000))
    await expect(withPipelineRun(ground.platform, 'sweep', () => Promise.reject(error))).rejects.toBe(error)
    expect(await runs()).toEqual([{ job: 'sweep', status: 'failure', error: 'x'.repeat(2_000), ended: true }])
  })

  test('puts its id and job on every line of its log', async () => {
    await withPipelineRun(ground.platform, 'sweep', async ({ log }) => log.info('hello'))
    const [row] = await ground.query('select run_id from ops.pipeline_runs')
    expect(ground.logged.map(({ event, run_id, job }) => ({ event, run_id, job }))).toEqual([
      { event: 'hello', ...row, job: 'sweep' },
      { event: 'run_finished', ...row, job: 'sweep' },
    ])
  })
})

describe('an alert', () => {
  const ground = useGround()
  beforeEach(() => ground.clear())
  const open = (subject: string, problem: string) =>
    openAlert(ground.platform.db, { kind: 'curated_file', severity: 'critical', subject, detail: { problem } })
  const alerts = () =>
    ground.query('select subject, detail, closed_at is null as open from ops.alert order by alert_id')

  test('is open once per kind and subject; again only refreshes its detail', async () => {
    await open('a', 'first')
    await open('a', 'second')
    await open('b', 'first')
    expect(await alerts()).toEqual([
      { subject: 'a', detail: { problem: 'second' }, open: true },
      { subject: 'b', detail: { problem: 'first' }, open: true },
    ])
  })

  test('closes alone, and what comes after it is a new one', async () => {
    await open('a', 'first')
    await open('b', 'first')
    await closeAlert(ground.platform.db, 'curated_file', 'a')
    await open('a', 'again')
    expect((await alerts()).map(({ subject, open }) => [subject, open])).toEqual([
      ['a', false],
      ['b', true],
      ['a', true],
    ])
  })
})
