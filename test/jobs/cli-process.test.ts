import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterEach, describe, expect, test } from 'vitest'
import { useTestEnvironment } from '../support/environment.ts'
import { openWorkbench, type Workbench } from '../support/workbench.ts'

const SPX = 'alpaca/bars/SPX/1d'

type Ended = {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly out: string
  readonly err: string
}

describe('tributary as a process of its own', () => {
  const environment = useTestEnvironment()
  const opened: Workbench[] = []
  const children: ChildProcess[] = []
  afterEach(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL')
    for (const bench of opened.splice(0)) await bench.close()
  })
  const open = async () => {
    const databaseUrl = await environment.newDatabase()
    const storageConnectionString = environment.newStorageAccount()
    const bench = await openWorkbench({ databaseUrl, storageConnectionString })
    opened.push(bench)
    const { PATH = '' } = process.env
    const env = {
      PATH,
      DATABASE_URL: databaseUrl,
      AzureWebJobsStorage: storageConnectionString,
      TRIBUTARY_STREAMS: bench.platform.settings.streamsFile,
      TRIBUTARY_LEASE_SECONDS: '3',
      TRIBUTARY_ACTOR: 'ada',
      ALPACA_BASE_URL: bench.simulator.url,
      ALPACA_KEY_ID: 'test-key-id',
      ALPACA_SECRET_KEY: 'test-secret-key',
    }
    const start = (...argv: string[]) => {
      const child = spawn(process.execPath, ['dist/jobs/cli.js', ...argv], { env, stdio: ['ignore', 'pipe', 'pipe'] })
      children.push(child)
      let out = ''
      let err = ''
      child.stdout.on('data', (chunk) => (out += chunk))
      child.stderr.on('data', (chunk) => (err += chunk))
      const ended = once(child, 'close').then(([code, signal]): Ended => ({ code, signal, out, err }))
      return { child, ended }
    }
    expect((await start('streams', 'apply').ended).code).toBe(0)
    return { bench, start }
  }
  /** Until the provider has been asked: then a worker holds the ingest. */
  const asked = async ({ simulator }: Workbench) => {
    while (simulator.requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const ingests = (bench: Workbench) =>
    bench.query('select state, attempts, claimed_by as "claimedBy" from provenance.source_ingest')

  test('run publishes and ends with 0; who applied the streams is in the audit', async () => {
    const { bench, start } = await open()
    const ended = await start('run', SPX, '--json').ended
    expect(ended).toMatchObject({ code: 0, signal: null })
    expect(JSON.parse(ended.out)).toMatchObject({ end: 'published' })
    expect(await bench.query('select actor, action from ops.audit')).toEqual([
      { actor: 'ada', action: 'apply_streams' },
    ])
  })

  test('SIGTERM ends a run with 143 and gives its ingest back, uncounted', async () => {
    const { bench, start } = await open()
    bench.simulator.setFaults(() => ({ kind: 'stall' }))
    const { child, ended } = start('run', SPX)
    await asked(bench)
    child.kill('SIGTERM')
    expect(await ended).toMatchObject({
      code: 143,
      signal: null,
      err: expect.stringContaining('the same command goes on from here'),
    })
    expect(await ingests(bench)).toEqual([{ state: 'planned', attempts: 0, claimedBy: null }])
  })

  test('after SIGKILL the next run takes the ingest over and publishes', async () => {
    const { bench, start } = await open()
    bench.simulator.setFaults(() => ({ kind: 'stall' }))
    const { child, ended } = start('run', SPX)
    await asked(bench)
    child.kill('SIGKILL')
    expect(await ended).toMatchObject({ signal: 'SIGKILL' })
    expect(await ingests(bench)).toMatchObject([{ state: 'landing', attempts: 1 }])
    bench.simulator.setFaults([])
    expect(await start('run', SPX).ended).toMatchObject({ code: 0 })
    expect(await bench.query('select sum(rows)::bigint as rows from curated.partition')).toEqual([{ rows: 500 }])
  })

  test('doctor reports settings that cannot be read instead of ending with them', async () => {
    const { start } = await open()
    const child = spawn(process.execPath, ['dist/jobs/cli.js', 'doctor', '--json'], {
      env: {
        PATH: process.env.PATH ?? '',
        DATABASE_URL: 'mysql://nowhere',
        AzureWebJobsStorage: 'UseDevelopmentStorage=true',
      },
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    children.push(child)
    let out = ''
    child.stdout.on('data', (chunk) => (out += chunk))
    const [code] = await once(child, 'close')
    expect(code).toBe(1)
    expect(JSON.parse(out).checks).toContainEqual(
      expect.objectContaining({
        name: 'settings: DATABASE_URL',
        status: 'fail',
        expected: 'postgres://user:password@host:port/database',
      }),
    )
    expect((await start('status').ended).code).toBe(0)
  })
})
