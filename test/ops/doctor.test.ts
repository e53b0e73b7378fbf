import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { openContainer } from '../../shared/azure/blobs.ts'
import { openTable } from '../../shared/azure/tables.ts'
import { PROGRESS_TABLE } from '../../shared/config/storage-names.ts'
import { ConfigError } from '../../shared/errors.ts'
import { withoutHook } from '../../shared/io-hook.ts'
import type { Check } from '../../shared/ops/doctor/check.ts'
import { blobServiceOf } from '../../shared/ops/doctor/clocks.ts'
import { diagnose, type Patient } from '../../shared/ops/doctor/diagnose.ts'
import { scheduleProblem } from '../../shared/ops/doctor/ncrontab.ts'
import { versionFinding } from '../../shared/ops/doctor/postgres.ts'
import { openPlatform, type Platform } from '../../shared/platform.ts'
import { PROBE_PATH } from '../../shared/provenance/raw-path.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { TWO_YEARS } from '../support/workbench.ts'

const HOST_JSON = {
  functionTimeout: '00:10:00',
  extensions: { queues: { messageEncoding: 'base64', maxDequeueCount: 5, visibilityTimeout: '00:00:30' } },
}
const QUEUES = ['land', 'curate', 'metadata'].flatMap((queue) => [queue, `${queue}-poison`])

describe('the doctor', () => {
  const environment = useTestEnvironment()
  const opened: Platform[] = []
  let folder = ''
  let streams = ''
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tributary-doctor-'))
    streams = await write('streams.json', { streams: [TWO_YEARS] })
    await prepare(open())
  })
  afterEach(async () => {
    for (const platform of opened.splice(0)) await platform.close()
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  const write = async (name: string, content: unknown) => {
    await writeFile(join(folder, name), JSON.stringify(content))
    return join(folder, name)
  }
  const settings = () => ({
    DATABASE_URL: environment.databaseUrl,
    AzureWebJobsStorage: environment.storageConnectionString,
    TRIBUTARY_STREAMS: streams,
    ALPACA_KEY_ID: 'test-key-id',
    ALPACA_SECRET_KEY: 'test-secret-key',
  })
  const open = (env: Readonly<Record<string, string>> = {}) => {
    const platform = openPlatform({ env: { ...settings(), ...env }, sink: () => undefined })
    opened.push(platform)
    return platform
  }
  const prepare = async ({ raw, curated, queues, settings }: Platform) => {
    await raw.ensure()
    await curated.ensure()
    await openContainer({ account: settings.lakeStorage, container: 'metadata', hook: withoutHook }).ensure()
    for (const queue of QUEUES) await queues.ensure(queue)
    await openTable({ account: settings.lakeStorage, table: PROGRESS_TABLE }).ensure()
  }
  /** As the command opens it. */
  const openOrProblems = (env: Readonly<Record<string, string>>): Patient['opened'] => {
    try {
      return { platform: open(env) }
    } catch (error) {
      if (error instanceof ConfigError) return { problems: error.problems }
      throw error
    }
  }
  const examine = async (env: Readonly<Record<string, string>> = {}, patient: Partial<Patient> = {}) =>
    diagnose({
      env: { ...settings(), ...env },
      opened: openOrProblems(env),
      hostJson: JSON.stringify(HOST_JSON),
      ...patient,
    })
  const unwell = (checks: readonly Check[]) => checks.filter(({ status }) => status !== 'ok')
  const execute = async (text: string) => {
    await open().db.query({ name: `test ${text.slice(0, 40)}`, text })
  }

  test('finds nothing wrong where nothing is', async () => {
    const checks = await examine()
    expect(unwell(checks)).toEqual([])
    expect(checks.map(({ name }) => name)).toEqual([
      'settings: parsed',
      'settings: TRIBUTARY_LEASE_SECONDS',
      'settings: PLAN_SCHEDULE',
      'settings: SWEEP_SCHEDULE',
      'settings: LOOKBACK_SCHEDULE',
      'host.json: messageEncoding',
      'host.json: maxDequeueCount',
      'host.json: visibilityTimeout',
      'host.json: functionTimeout',
      'streams file',
      'source alpaca: credentials',
      'source alpaca: address',
      'storage: container raw',
      'storage: container curated',
      'storage: container metadata',
      'storage: raw is written once',
      'storage: queue land',
      'storage: queue land-poison',
      'storage: queue curate',
      'storage: queue curate-poison',
      'storage: queue metadata',
      'storage: queue metadata-poison',
      'storage: table progress',
      'postgres: version',
      'postgres: migrations',
      'postgres: permissions',
      'postgres: connections',
      'clock: postgres',
      'clock: storage',
    ])
  })

  test('leaves one blob and no row, however often it is asked', async () => {
    const platform = open()
    const rows = () => platform.db.query({ name: 'test runs', text: 'select * from ops.pipeline_runs' })
    await examine()
    await examine()
    expect(await rows()).toEqual([])
    const blobs: string[] = []
    for await (const { path } of platform.raw.list('')) blobs.push(path)
    expect(blobs).toEqual([PROBE_PATH])
  })

  const queues = (change: object) => ({
    hostJson: JSON.stringify({ ...HOST_JSON, extensions: { queues: { ...HOST_JSON.extensions.queues, ...change } } }),
  })
  test.each<[string, () => Promise<readonly Check[]>, Partial<Check>]>([
    [
      'a setting that cannot be read',
      () => examine({ TRIBUTARY_LEASE_SECONDS: 'soon' }),
      {
        name: 'settings: TRIBUTARY_LEASE_SECONDS',
        status: 'fail',
        expected: 'a whole number from 3 to 3600',
        got: '"soon"',
      },
    ],
    [
      'a lease that any pause outlasts',
      () => examine({ TRIBUTARY_LEASE_SECONDS: '5' }),
      { name: 'settings: TRIBUTARY_LEASE_SECONDS', status: 'warn', got: '5 s' },
    ],
    [
      'a schedule of five fields',
      () => examine({ PLAN_SCHEDULE: '*/5 * * * *' }),
      {
        name: 'settings: PLAN_SCHEDULE',
        status: 'fail',
        got: '"*/5 * * * *": 5 fields instead of six (second minute hour day month weekday)',
      },
    ],
    [
      'an encoding that nobody sends',
      () => examine({}, queues({ messageEncoding: 'none' })),
      { name: 'host.json: messageEncoding', status: 'fail', got: 'none' },
    ],
    [
      'messages that one failure poisons',
      () => examine({}, queues({ maxDequeueCount: 1 })),
      { name: 'host.json: maxDequeueCount', status: 'fail', got: '1' },
    ],
    [
      'messages that come again at once',
      () => examine({}, queues({ visibilityTimeout: '00:00:00' })),
      { name: 'host.json: visibilityTimeout', status: 'fail', got: '0 s' },
    ],
    [
      'a host that ends functions before they end themselves',
      () => examine({}, { hostJson: JSON.stringify({ ...HOST_JSON, functionTimeout: '00:05:00' }) }),
      { name: 'host.json: functionTimeout', status: 'fail', got: '300 s' },
    ],
    [
      'a host.json that is no json',
      () => examine({}, { hostJson: '{' }),
      { name: 'host.json: readable', status: 'fail' },
    ],
    [
      'a streams file with a mistake',
      async () =>
        examine({ TRIBUTARY_STREAMS: await write('bad.json', { streams: [{ ...TWO_YEARS, origin: 'soon' }] }) }),
      {
        name: 'streams file',
        status: 'fail',
        got: 'streams[0].origin: expected a date or an instant that exists, got "soon"',
      },
    ],
    [
      'a streams file that is not there',
      () => examine({ TRIBUTARY_STREAMS: '/nowhere/streams.json' }),
      { name: 'streams file', status: 'fail' },
    ],
    [
      'a source without its key',
      () => examine({ ALPACA_SECRET_KEY: '' }),
      {
        name: 'source alpaca: credentials',
        status: 'fail',
        got: 'no ALPACA_SECRET_KEY',
        todo: 'set ALPACA_SECRET_KEY: its streams wait for it',
      },
    ],
    [
      'a source at no address',
      () => examine({ ALPACA_BASE_URL: 'data.alpaca.markets' }),
      { name: 'source alpaca: address', status: 'fail', got: 'data.alpaca.markets' },
    ],
    [
      'another clock here',
      () => examine({}, { nowMs: () => Date.now() - 60_000 }),
      { name: 'clock: postgres', status: 'fail', got: expect.stringMatching(/^(59|60)\.\d s$/) as unknown as string },
    ],
  ])('finds %s', async (_what, seed, expected) => {
    expect(unwell(await seed())).toContainEqual(expect.objectContaining(expected))
  })

  test('finds containers, queues and tables that are not there, and says how to get each', async () => {
    const checks = unwell(await examine({ AzureWebJobsStorage: environment.newStorageAccount() }))
    expect(checks.map(({ name, status }) => `${status} ${name}`)).toEqual([
      'fail storage: container raw',
      'fail storage: container curated',
      'fail storage: container metadata',
      'fail storage: queue land',
      'warn storage: queue land-poison',
      'fail storage: queue curate',
      'warn storage: queue curate-poison',
      'fail storage: queue metadata',
      'warn storage: queue metadata-poison',
      'fail storage: table progress',
    ])
    for (const { todo } of checks) expect(todo).toBeTruthy()
  })

  test('finds messages that went to poison', async () => {
    const { queues } = open()
    await queues.send('land-poison', '{}')
    expect(unwell(await examine())).toMatchObject([
      { name: 'storage: queue land-poison', status: 'warn', got: '1 messages' },
    ])
    const [message] = await queues.receive('land-poison', { countMax: 1, visibilitySeconds: 30 })
    if (message !== undefined) await queues.remove('land-poison', message)
  })

  test('finds a storage that does not answer, once', async () => {
    const nowhere = `DefaultEndpointsProtocol=http;AccountName=a;AccountKey=${Buffer.from('key').toString('base64')};BlobEndpoint=http://127.0.0.1:1/a;QueueEndpoint=http://127.0.0.1:1/a;TableEndpoint=http://127.0.0.1:1/a`
    const names = unwell(await examine({ AzureWebJobsStorage: nowhere })).map(({ name }) => name)
    expect(names).toEqual(['storage: container raw', 'clock: storage'])
  })

  test('finds a postgres that does not answer, and shows no password', async () => {
    const checks = unwell(await examine({ DATABASE_URL: 'postgres://nobody:s3cret-password@127.0.0.1:1/nowhere' }))
    expect(checks.map(({ name }) => name)).toEqual(['postgres: version', 'clock: postgres'])
    expect(JSON.stringify(checks)).not.toContain('s3cret-password')
  })

  test('finds migrations that did not run, ran with another text, or are newer', async () => {
    const url = await environment.newDatabase()
    const at = async (text: string) => {
      await open({ DATABASE_URL: url }).db.query({ name: `test ${text.slice(0, 40)}`, text })
      return unwell(await examine({ DATABASE_URL: url }))
    }
    expect(
      await at(`insert into ops.migration (migration_id, name, sha256) values (999999, '999999-later.sql', 'x')`),
    ).toMatchObject([{ name: 'postgres: migrations', status: 'warn', got: 'newer ones too: 999999-later.sql' }])
    await at(`delete from ops.migration where migration_id = 2`)
    expect(await at(`update ops.migration set sha256 = 'changed' where migration_id = 3`)).toMatchObject([
      {
        name: 'postgres: migrations',
        status: 'fail',
        got: '000002-lookback.sql did not run, 000003-files.sql ran with another text',
      },
    ])
    expect(await at('drop table ops.migration')).toMatchObject([
      { name: 'postgres: migrations', status: 'fail', got: expect.stringContaining('000001-ingest.sql did not run') },
    ])
  })

  test('finds what a role may not do', async () => {
    const url = await environment.newDatabase()
    const run = (text: string) => open({ DATABASE_URL: url }).db.query({ name: `test ${text.slice(0, 50)}`, text })
    const role = `doctor_${Date.now()}`
    await run(`create role ${role} login password 'doctor-password' connection limit 10`)
    try {
      await run(`grant usage on schema ingest, provenance, curated, ops to ${role}`)
      await run(`grant select, insert, update on all tables in schema ingest, provenance, curated, ops to ${role}`)
      await run(`revoke insert on provenance.raw_page from ${role}`)
      const theirs = new URL(url)
      theirs.username = role
      theirs.password = 'doctor-password'
      expect(unwell(await examine({ DATABASE_URL: theirs.href }))).toMatchObject([
        { name: 'postgres: permissions', status: 'fail', got: 'no insert in provenance.raw_page' },
        { name: 'postgres: connections', status: 'warn', got: '10 connections, for 5 processes' },
      ])
      for (const platform of opened.splice(0)) await platform.close()
    } finally {
      await run(`drop owned by ${role}`)
      await run(`drop role ${role}`)
    }
  })

  test('finds a server that takes no writes', async () => {
    const url = await environment.newDatabase()
    const name = new URL(url).pathname.slice(1)
    await execute(`alter database ${name} set default_transaction_read_only = on`)
    expect(unwell(await examine({ DATABASE_URL: url }))).toMatchObject([
      { name: 'postgres: permissions', status: 'fail', got: expect.stringContaining('read-only') },
    ])
  })

  test('says nothing of host.json where there is none', async () => {
    expect((await examine({}, { hostJson: null })).some(({ name }) => name.startsWith('host.json'))).toBe(false)
  })

  test('knows the versions of PostgreSQL', () => {
    expect([13, 14, 18, 19].map((version) => versionFinding(version).status)).toEqual(['fail', 'ok', 'ok', 'fail'])
  })

  test.each([
    ['0 */5 * * * *', null],
    ['0 0 9 * * Mon-Fri', null],
    ['0 0 9 1,15 Jan 0', null],
    ['0 0 9 * * 7', '"7" instead of a day of week from 0 to 6, *, a-b or /n'],
    ['0 0 9 L * *', '"L" instead of a day of month from 1 to 31, *, a-b or /n'],
    ['60 * * * * *', '"60" instead of a second from 0 to 59, *, a-b or /n'],
    ['*/0 * * * * *', '"*/0" instead of a second from 0 to 59, *, a-b or /n'],
    ['0 9-5 * * * *', '"9-5" instead of a minute from 0 to 59, *, a-b or /n'],
  ])('reads the schedule %s as the Functions host does', (expression, problem) => {
    expect(scheduleProblem(expression)).toBe(problem)
  })

  test.each([
    ['UseDevelopmentStorage=true', 'http://127.0.0.1:10000/devstoreaccount1/'],
    ['AccountName=a;AccountKey=k==;EndpointSuffix=core.windows.net', 'https://a.blob.core.windows.net/'],
    ['BlobEndpoint=http://127.0.0.1:1/a;AccountKey=k==', 'http://127.0.0.1:1/a/'],
  ])('finds the blob service of %s', (connectionString, url) => {
    expect(blobServiceOf({ kind: 'connection-string', connectionString })).toBe(url)
  })
})
