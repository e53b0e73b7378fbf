import { spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { QueueServiceClient } from '@azure/storage-queue'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { createQueues } from '../../shared/azure/queues.ts'
import { TransientError } from '../../shared/errors.ts'
import { type IoHook, withoutHook } from '../../shared/io-hook.ts'
import {
  type Azurite,
  fixture,
  removeTemporaryFolders,
  type StorageForTest,
  sleep,
  startAzurite,
  startTestHost,
  type TestHost,
  type TestHostOptions,
  temporaryFolder,
  until,
} from './fixtures/functions-host/harness.ts'

let azurite: Azurite
let running: TestHost[] = []

beforeAll(async () => {
  azurite = await startAzurite()
})

afterEach(async () => {
  await Promise.all(running.map(({ host }) => host.stop({ graceMs: 5_000 })))
  running = []
})

afterAll(async () => {
  await azurite.stop()
  await removeTemporaryFolders()
})

async function work(): Promise<StorageForTest> {
  const storage = azurite.account()
  await storage.queues.ensure('work')
  return storage
}

async function start(files: readonly string[], options: TestHostOptions): Promise<TestHost> {
  const started = await startTestHost(files, options)
  running.push(started)
  return started
}

const raw = ({ connectionString }: StorageForTest, queue: string) =>
  QueueServiceClient.fromConnectionString(connectionString).getQueueClient(queue)

const bodiesOf = async ({ queues }: StorageForTest, queue: string) =>
  (await queues.receive(queue, { countMax: 32, visibilitySeconds: 30 })).map(({ body }) => body)

describe('a queue function', () => {
  test('that succeeds takes its message away', async () => {
    const storage = await work()
    const { host, said } = await start(['work.mjs'], { storage })
    await storage.queues.send('work', '{"name":"one — ünï"}')
    await host.idle()
    expect(said()).toEqual(['begin one — ünï 1', 'end one — ünï'])
    expect(await storage.queues.depth('work')).toBe(0)
  })

  test('that fails is tried again after a delay, counting, until its body goes to the poison queue', async () => {
    const storage = await work()
    const { said, logs } = await start(['work.mjs'], { storage })
    const body = '{"name":"doomed","failures":9}'
    await storage.queues.send('work', body)
    const poisoned = await until('a poison message', () => bodiesOf(storage, 'work-poison').then((all) => all[0]))
    expect(said()).toEqual(['begin doomed 1', 'begin doomed 2', 'begin doomed 3'])
    expect(poisoned).toBe(body)
    await until('the end', () => logs.at(-1)?.message.endsWith('moved to work-poison: failed 3 times'))
    expect(await storage.queues.depth('work')).toBe(0)
  })

  test('hides a failed message for visibilityTimeout, not for the lock', async () => {
    const storage = await work()
    const hostJson = { extensions: { queues: { maxDequeueCount: 3, visibilityTimeout: '00:10:00' } } }
    const { host, reports } = await start(['work.mjs'], { storage, lockSeconds: 1, hostJson })
    await storage.queues.send('work', '{"name":"late","failures":9}')
    await until('the failure', () => reports.length === 1)
    await host.idle()
    await sleep(1_500)
    expect(await bodiesOf(storage, 'work')).toEqual([])
    expect(reports.length).toBe(1)
  })

  test('whose message was received too often before is not run: it goes to poison', async () => {
    const storage = await work()
    await storage.queues.send('work', '{"name":"tired"}')
    for (let delivery = 1; delivery <= 3; delivery++) {
      const [message] = await storage.queues.receive('work', { countMax: 1, visibilitySeconds: 30 })
      if (message) await storage.queues.release('work', message, 0)
    }
    const { host, said } = await start(['work.mjs'], { storage })
    await host.idle()
    expect(said()).toEqual([])
    expect(await bodiesOf(storage, 'work-poison')).toEqual(['{"name":"tired"}'])
  })

  test('never sees a body that is not base64: it goes to poison as it came', async () => {
    const storage = await work()
    await raw(storage, 'work').sendMessage('{"name":"plain"}')
    const { host, reports } = await start(['work.mjs'], { storage })
    await host.idle()
    expect(reports).toEqual([])
    const [message] = await storage.queues.receive('work-poison', { countMax: 1, visibilitySeconds: 30 })
    expect(message).toMatchObject({ wire: '{"name":"plain"}', body: undefined })
    expect(await storage.queues.depth('work')).toBe(0)
  })

  test('takes plain text where host.json says so', async () => {
    const storage = await work()
    await raw(storage, 'work').sendMessage('{"name":"plain"}')
    const hostJson = { extensions: { queues: { messageEncoding: 'none' } } }
    const { host, said } = await start(['work.mjs'], { storage, hostJson })
    await host.idle()
    expect(said()).toEqual(['begin plain 1', 'end plain'])
  })

  test('on a poison queue that throws leaves its message there, hidden', async () => {
    const storage = await work()
    await storage.queues.ensure('work-poison')
    await storage.queues.send('work-poison', '"anything"')
    const { host, said, logs } = await start(['poison.mjs'], { storage })
    await host.idle()
    expect(said()).toEqual(['poison "anything" 1'])
    expect(await bodiesOf(storage, 'work-poison')).toEqual([])
    expect(await storage.queues.depth('work-poison')).toBe(1)
    expect(await storage.queues.depth('work-poison-poison')).toBeUndefined()
    expect(logs.at(-1)?.message).toContain('stays hidden until its lock ends: its handler failed')
  })

  test('may wait for a queue that nobody has created yet', async () => {
    const storage = azurite.account()
    const { host, said } = await start(['work.mjs'], { storage })
    await host.idle()
    await storage.queues.ensure('work')
    await storage.queues.send('work', '{"name":"first"}')
    await until('the run', () => said().length === 2)
  })

  test('is told about its message, and the body hides what has the same name', async () => {
    const storage = azurite.account()
    await storage.queues.ensure('inspect')
    await storage.queues.send('inspect', '{"id":"of the body","n":[1]}')
    const { host, logs } = await start(['inspect.mjs'], { storage })
    await host.idle()
    const line = logs.find(({ category }) => category === 'user')
    expect(line?.level).toBe('warning')
    expect(JSON.parse(line?.message ?? '')).toEqual({
      body: { id: 'of the body', n: [1] },
      metadata: {
        queueTrigger: { id: 'of the body', n: [1] },
        dequeueCount: 1,
        id: 'of the body',
        popReceipt: expect.any(String),
        insertionTime: expect.stringMatching(/^2.*\+00:00$/),
        expirationTime: expect.any(String),
        nextVisibleTime: expect.any(String),
        n: [1],
      },
    })
  })

  test('can be run by hand through the admin route', async () => {
    const storage = await work()
    const { host, said } = await start(['work.mjs'], { storage })
    const body = JSON.stringify({ input: '{"name":"by hand"}' })
    await fetch(`http://127.0.0.1:${host.port}/admin/functions/work`, { method: 'POST', body })
    await until('the run', () => said()[0] === 'begin by hand undefined')
  })
})

describe('a message in hand', () => {
  test('is hidden from others for as long as its handler runs, which is longer than the lock', async () => {
    const storage = await work()
    const gates = await temporaryFolder()
    const { host, said, reports } = await start(['work.mjs'], { storage, lockSeconds: 2 })
    await storage.queues.send('work', JSON.stringify({ name: 'long', gates }))
    await until('the handler to run', () => said().length === 1)
    await sleep(3_000)
    expect(await bodiesOf(storage, 'work')).toEqual([])
    await writeFile(join(gates, 'long'), '')
    await until('the end', () => reports.length === 1)
    await host.idle()
    expect(said()).toEqual(['begin long 1', 'end long'])
    expect(await storage.queues.depth('work')).toBe(0)
  })

  test('that another receiver took over is left to it', async () => {
    const storage = await work()
    const gates = await temporaryFolder()
    const { host, said, logs } = await start(['work.mjs'], { storage, lockSeconds: 600 })
    await storage.queues.send('work', JSON.stringify({ name: 'taken', gates }))
    await until('the handler to run', () => said().length === 1)
    await raw(storage, 'work').clearMessages()
    await writeFile(join(gates, 'taken'), '')
    await until('the end', () => said().length === 2)
    await host.idle()
    expect(logs.filter(({ category }) => category === 'host')).toEqual([])
  })

  test('runs beside at most batchSize + newBatchThreshold − 1 others', async () => {
    const storage = await work()
    const gates = await temporaryFolder()
    const names = ['a', 'b', 'c', 'd', 'e', 'f']
    for (const name of names) await storage.queues.send('work', JSON.stringify({ name, gates }))
    const { host, said } = await start(['work.mjs'], { storage })
    await until('the first batch', () => host.stats().running.length === 2)
    await sleep(300)
    expect(said()).toEqual(['begin a 1', 'begin b 1'])
    await writeFile(join(gates, 'a'), '')
    await until('the second batch', () => host.stats().running.length === 3)
    await sleep(300)
    expect(said().filter((line) => line.startsWith('begin'))).toEqual([
      'begin a 1',
      'begin b 1',
      'begin c 1',
      'begin d 1',
    ])
    for (const name of names) await writeFile(join(gates, name), '')
    await until('all', () => said().length === 12)
  })

  test('is waited for by stop, and gone afterwards', async () => {
    const storage = await work()
    const slowToRemove: IoHook = async ({ action }, run) => {
      if (action === 'remove') await sleep(300)
      return run()
    }
    const account = { kind: 'connection-string', connectionString: storage.connectionString } as const
    const queues = createQueues({ account, hook: slowToRemove })
    const gates = await temporaryFolder()
    const { host, said } = await start(['work.mjs'], { storage: { ...storage, queues } })
    await storage.queues.send('work', JSON.stringify({ name: 'last', gates }))
    await until('the handler to run', () => said().length === 1)
    const stopping = host.stop({ graceMs: 30_000 })
    await writeFile(join(gates, 'last'), '')
    await stopping
    expect(said()).toEqual(['begin last 1', 'end last'])
    expect(await storage.queues.depth('work')).toBe(0)
  })

  test('comes back after its lock when the host is killed', async () => {
    const storage = await work()
    const gates = await temporaryFolder()
    const stopped = await start(['work.mjs'], { storage })
    await stopped.host.stop({ graceMs: 1_000 })
    const { dataDir, hostJsonPath } = stopped
    const child = spawn(process.execPath, [
      fixture('run-host.mjs'),
      JSON.stringify({
        connectionString: storage.connectionString,
        entryFiles: [fixture('work.mjs')],
        settings: { WORK_QUEUE: 'work' },
        port: 0,
        lockSeconds: 2,
        timers: 'manual',
        dataDir,
        hostJsonPath,
      }),
    ])
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
    await storage.queues.send('work', JSON.stringify({ name: 'orphan', gates }))
    await until(`the handler to run in the child`, () => output.includes('begin orphan 1') || child.exitCode !== null)
    expect(output).toBe('begin orphan 1\n')
    const exited = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await exited
    await writeFile(join(gates, 'orphan'), '')
    const { said } = await start(['work.mjs'], { storage, dataDir })
    await until('the second delivery', () => said().length === 2)
    expect(said()).toEqual(['begin orphan 2', 'end orphan'])
  })
})

describe('the queue client', () => {
  test('names queue and action when the storage does not answer, and counts as transient', async () => {
    const connectionString =
      'DefaultEndpointsProtocol=http;AccountName=none;AccountKey=bm9uZQ==;QueueEndpoint=http://127.0.0.1:9/none;'
    const { send } = createQueues({ account: { kind: 'connection-string', connectionString }, hook: withoutHook })
    const error = await send('land', '{}').catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(TransientError)
    expect(error).toHaveProperty('message', expect.stringMatching(/^send of queue land: storage did not answer \(/))
  })

  test('names queue and action when the storage refuses', async () => {
    const { queues } = azurite.account()
    await expect(queues.send('absent', '{}')).rejects.toThrow(
      'send of queue absent: expected the storage to accept it, got 404 QueueNotFound',
    )
  })

  test('passes each operation once through the hook', async () => {
    const { connectionString } = azurite.account()
    const seen: string[] = []
    const queues = createQueues({
      account: { kind: 'connection-string', connectionString },
      hook: (operation, run) => {
        seen.push(`${operation.client} ${operation.action} ${operation.subject}`)
        return run()
      },
    })
    await queues.ensure('land')
    await queues.send('land', '{}')
    const [message] = await queues.receive('land', { countMax: 1, visibilitySeconds: 30 })
    if (!message) throw new Error('expected a message, got none')
    const renewed = await queues.renew('land', message, 30)
    expect(await queues.remove('land', message)).toBe(false)
    expect(renewed && (await queues.remove('land', renewed))).toBe(true)
    await queues.depth('land')
    expect(seen).toEqual(
      ['ensure', 'send', 'receive', 'renew', 'remove', 'remove', 'depth'].map((action) => `queue ${action} land`),
    )
  })

  test.each([
    ['a delay', { delaySeconds: 30 }, []],
    ['no delay', {}, ['{}']],
  ])('a message sent with %s is seen accordingly', async (_what, sendOptions, bodies) => {
    const storage = await work()
    await storage.queues.send('work', '{}', sendOptions)
    expect(await bodiesOf(storage, 'work')).toEqual(bodies)
  })
})
