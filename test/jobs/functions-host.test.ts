import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { findEntryFiles } from '../../jobs/local/functions-host/entry-files.ts'
import { parseHostJson } from '../../jobs/local/functions-host/host-json.ts'
import { ConfigError } from '../../shared/errors.ts'
import {
  fixture,
  removeTemporaryFolders,
  sleep,
  startTestHost,
  type TestHost,
  type TestHostOptions,
  temporaryFolder,
  until,
} from './fixtures/functions-host/harness.ts'

let running: TestHost[] = []

afterEach(async () => {
  await Promise.all(running.map(({ host }) => host.stop({ graceMs: 5_000 })))
  running = []
})

afterAll(removeTemporaryFolders)

async function start(files: readonly string[], options?: TestHostOptions): Promise<TestHost> {
  const started = await startTestHost(files, options)
  running.push(started)
  return started
}

async function problemsOf(files: readonly string[], options?: TestHostOptions): Promise<readonly string[]> {
  const error = await start(files, options).then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof ConfigError)) throw new Error(`expected a ConfigError, got ${error}`)
  return error.problems
}

describe('the start', () => {
  test('an entry file that throws fails it, by name', async () => {
    expect(await problemsOf(['timers.mjs', 'broken.mjs'])).toEqual([
      `entry file ${fixture('broken.mjs')}: expected it to load, got a setting is missing`,
    ])
  })

  test('files that register nothing fail it', async () => {
    const [problem] = await problemsOf(['empty.mjs'])
    expect(problem).toContain('empty.mjs: expected at least one function, got none')
  })

  test('everything that this host cannot run is reported together', async () => {
    expect(await problemsOf(['unsupported.mjs'])).toEqual([
      'function lateSunday: schedule "0 0 0 * * 7": expected a day of week from 0 to 6, *, a-b or /n, got 7',
      'function noSetting: expected the setting NOWHERE for %NOWHERE%, got none',
      'function elsewhere: expected connection AzureWebJobsStorage, got OTHER_ACCOUNT: the local host knows one account',
      'function badName: expected a queue name of 3 to 63 of a-z, 0-9 and single -, got Work',
      'function blob: expected a timer, queue or http trigger, got blobTrigger',
      'function ranged: route api/a/{id:range(1,9)}: expected {name}, {name?}, {*rest} or one of int, long, bool, alpha, guid, got {id:range(1,9)}',
      'function sends: expected no binding but its trigger, got queue: the local host moves no data, use a client',
    ])
  })

  test('two functions of one name fail it', async () => {
    expect(await problemsOf(['timers.mjs', 'twice.mjs'])).toEqual([
      'function minutely: expected one of that name, got two',
    ])
  })

  test('a function that its setting disables does not run, and the others are named', async () => {
    const { host } = await start(['timers.mjs'])
    expect(host.functions).toEqual(['minutely', 'stumbling', 'failing'])
  })

  test('settings do not override the environment', async () => {
    process.env.MINUTELY_BEFORE = 'of the environment'
    await start(['timers.mjs'], {
      settings: { MINUTELY_BEFORE: 'of the settings', MINUTELY: '0 * * * * *', 'AzureWebJobs.off.Disabled': 'true' },
    })
    expect(process.env.MINUTELY_BEFORE).toBe('of the environment')
  })

  test('a port that is taken fails it with the port', async () => {
    const { host } = await start(['timers.mjs'])
    const [problem] = await problemsOf(['timers.mjs'], { port: host.port })
    expect(problem).toContain(`port ${host.port}: expected to be free on 127.0.0.1, got`)
  })

  test('the entry files are those that main of package.json names, by name', async () => {
    const folder = await temporaryFolder()
    await mkdir(join(folder, 'functions'))
    for (const name of ['plan.js', 'land.js', 'land.js.map']) await writeFile(join(folder, 'functions', name), '')
    await writeFile(join(folder, 'package.json'), '{"main":"functions/*.js"}')
    expect(await findEntryFiles(join(folder, 'package.json'))).toEqual([
      join(folder, 'functions', 'land.js'),
      join(folder, 'functions', 'plan.js'),
    ])
  })

  test.each([
    ['{}', 'expected a package.json with main'],
    [
      '{"main":"functions/{a,b}/*.js"}',
      'expected main as a file or with one * in its last part, got functions/{a,b}/*.js',
    ],
    ['{"main":"nowhere/*.js"}', 'expected the folder of main, nowhere/*.js'],
    ['{"main":"*.none"}', 'expected files that match main, *.none, got none'],
  ])('a package.json of %s is refused', async (text, problem) => {
    const path = join(await temporaryFolder(), 'package.json')
    await writeFile(path, text)
    await expect(findEntryFiles(path)).rejects.toThrow(problem)
  })
})

describe('host.json', () => {
  test('the one of this repository holds what the platform is designed for', async () => {
    const text = await readFile(new URL('../../host.json', import.meta.url), 'utf8')
    expect(parseHostJson(text)).toEqual({
      functionTimeoutMs: 600_000,
      routePrefix: 'api',
      queues: {
        batchSize: 4,
        newBatchThreshold: 2,
        maxDequeueCount: 5,
        visibilityTimeoutSeconds: 30,
        maxPollingIntervalMs: 15_000,
        messageEncoding: 'base64',
      },
    })
  })

  test('all its problems are reported together', () => {
    const queues = { batchSize: 64, visibilityTimeout: '30', maxDequeuCount: 3, messageEncoding: 'utf8' }
    const text = JSON.stringify({ version: '1.0', functionTimeout: 600, extensions: { queues } })
    expect(() => parseHostJson(text)).toThrow(
      new ConfigError([
        'host.json version: expected "2.0", got 1.0',
        'host.json functionTimeout: expected a time span hh:mm:ss or "-1", got 600',
        'host.json extensions.queues.batchSize: expected a whole number from 1 to 32, got 64',
        'host.json extensions.queues.visibilityTimeout: expected a time span hh:mm:ss, got 30',
        'host.json extensions.queues.messageEncoding: expected "base64" or "none", got utf8',
        'host.json extensions.queues: expected settings of the real host, got maxDequeuCount',
      ]),
    )
  })
})

describe('http', () => {
  const web = async () => {
    const started = await start(['web.mjs'])
    const ask = (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${started.host.port}${path}`, init)
    return { ...started, ask }
  }

  test('a request reaches its handler with method, parameters, query, header and body', async () => {
    const { ask } = await web()
    const answer = await ask('/api/echo/a%20b%2Fc?x=1&x=2&y=', {
      method: 'POST',
      headers: { 'X-Question': 'why' },
      body: '{"n":1}',
    })
    expect(await answer.json()).toEqual({
      method: 'POST',
      path: '/api/echo/a%20b%2Fc',
      params: { name: 'a b%2Fc' },
      query: { x: '1,2', y: '' },
      header: 'why',
      body: { n: 1 },
    })
  })

  test('status, headers and cookies of the handler reach the caller', async () => {
    const { ask } = await web()
    const answer = await ask('/api/echo/name')
    expect(answer.status).toBe(201)
    expect(answer.headers.get('x-answer')).toBe('yes')
    expect(answer.headers.get('content-type')).toBe('application/json')
    expect(answer.headers.getSetCookie()).toEqual(['seen=a%20b; Path=/; Max-Age=60; HttpOnly; SameSite=Lax'])
  })

  test('bytes arrive as they are', async () => {
    const { ask } = await web()
    expect([...new Uint8Array(await (await ask('/api/bytes')).arrayBuffer())]).toEqual([0, 255, 128])
  })

  test('the more definite route wins, whatever the order of registration', async () => {
    const { ask } = await web()
    expect(await (await ask('/api/ECHO/Fixed')).text()).toBe('fixed')
    expect(await (await ask('/api/echo/12')).text()).toBe('number')
  })

  test('a rest parameter takes every segment, and none', async () => {
    const { ask } = await web()
    expect(await (await ask('/api/files/a/b%20c/d')).json()).toEqual({ rest: 'a/b c/d' })
    expect(await (await ask('/api/files')).json()).toEqual({ rest: '' })
  })

  test.each([
    ['an unknown path', '/api/nowhere', 'GET', 404],
    ['a path without the prefix', '/echo/name', 'GET', 404],
    ['a method that the function does not take', '/api/echo/name', 'PUT', 404],
    ['one segment too many', '/api/echo/name/more', 'GET', 404],
    ['a path that is no UTF-8', '/api/echo/%ff', 'GET', 400],
    ['a handler that returns nothing', '/api/nothing', 'GET', 204],
  ])('%s is answered %s %s → %i', async (_what, path, method, status) => {
    const { ask } = await web()
    expect((await ask(path, { method })).status).toBe(status)
  })

  test('a handler that throws is 500 without its reason, which is logged', async () => {
    const { ask, logs, reports } = await web()
    const answer = await ask('/api/broken')
    expect([answer.status, await answer.text()]).toEqual([500, ''])
    expect(reports.map(({ functionName, outcome }) => [functionName, outcome])).toEqual([['broken', 'failure']])
    const logged = logs.find(({ level }) => level === 'error')
    expect(logged).toMatchObject({ functionName: 'broken', message: expect.stringContaining('a secret reason') })
  })

  test("a handler's log line carries level, function and invocation", async () => {
    const { ask, logs, reports } = await web()
    await ask('/api/echo/name')
    const [report] = reports
    expect(logs).toContainEqual({
      level: 'information',
      category: 'user',
      message: 'echo GET',
      functionName: 'echo',
      invocationId: report?.invocationId,
    })
  })
})

describe('the admin route', () => {
  const post = (port: number, name: string, body: string, method = 'POST') =>
    fetch(`http://127.0.0.1:${port}/admin/functions/${name}`, { method, ...(method === 'POST' ? { body } : {}) })

  test('it starts a timer without waiting for it', async () => {
    const { host, said } = await start(['timers.mjs'])
    expect((await post(host.port, 'minutely', '{"input":""}')).status).toBe(202)
    await until('the run', () => said().length === 1)
  })

  test.each([
    ['an unknown function', 'nobody', '{"input":""}', 'POST', 404],
    ['a body that is no json', 'minutely', 'run!', 'POST', 400],
    ['another method', 'minutely', '', 'GET', 404],
  ])('%s is refused', async (_what, name, body, method, status) => {
    const { host, said } = await start(['timers.mjs'])
    expect((await post(host.port, name, body, method)).status).toBe(status)
    expect(said()).toEqual([])
  })
})

describe('invocations', () => {
  test('hooks change inputs, handler and log lines, share their data and may clear the error', async () => {
    const { host, said, reports, logs } = await start(['hooks.mjs'])
    await host.invokeTimer('hooked')
    expect(logs.filter(({ level }) => level !== 'information')).toEqual([])
    expect(said()).toEqual(['WRAPPED', 'SAW CHANGED', 'POST PRE CLEARED BY A HOOK'])
    expect(reports[0]?.outcome).toBe('success')
  })

  test('one that exceeds functionTimeout counts as failed', async () => {
    const { host, reports } = await start(['web.mjs'], {
      hostJson: { functionTimeout: '00:00:01' },
    })
    const answer = await fetch(`http://127.0.0.1:${host.port}/api/slow/never?gates=/no/such/folder`)
    expect(answer.status).toBe(500)
    expect(reports[0]?.outcome).toBe('failure')
  })
})

describe('the stop', () => {
  const slow = async () => {
    const gates = await temporaryFolder()
    const started = await start(['web.mjs'])
    const answer = fetch(`http://127.0.0.1:${started.host.port}/api/slow/gate?gates=${encodeURIComponent(gates)}`)
    await until('the handler to run', () => started.said().length === 1)
    return { ...started, answer, open: () => writeFile(join(gates, 'gate'), '') }
  }

  test('it waits for the handler that runs, and its answer goes out', async () => {
    const { host, answer, open } = await slow()
    let stopped = false
    const stopping = host.stop({ graceMs: 30_000 }).then(() => {
      stopped = true
    })
    await sleep(200)
    expect(stopped).toBe(false)
    await open()
    await stopping
    expect(await (await answer).text()).toBe('done')
  })

  test('it gives up at the end of the grace and says what still runs', async () => {
    const { host, answer, logs, open } = await slow()
    const failed = answer.catch(() => 'cut')
    await host.stop({ graceMs: 50 })
    expect(logs.map(({ message }) => message)).toContain('stop: expected an end within 50 ms, got slow still running')
    expect(await failed).toBe('cut')
    await open()
  })

  test('it runs the hooks of the app, which began with it', async () => {
    const { host } = await start(['hooks.mjs'])
    expect(process.env.APP_HOOKS).toBe('started')
    await host.stop({ graceMs: 1_000 })
    expect(process.env.APP_HOOKS).toBe('terminated')
  })
})
