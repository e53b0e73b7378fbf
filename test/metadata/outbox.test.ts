import { beforeEach, describe, expect, test } from 'vitest'
import { createQueues } from '../../shared/azure/queues.ts'
import { parseStorageAccount } from '../../shared/config/storage-setting.ts'
import { withoutHook } from '../../shared/io-hook.ts'
import { inProcessBus, queueBus } from '../../shared/metadata/outbox/bus.ts'
import { prepareRecords, RecordRefusedError, writeOutbox } from '../../shared/metadata/outbox/outbox.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { OURS, useDispatch } from './dispatch-bench.ts'
import { volume } from './fact.ts'

describe('the outbox of a producer', () => {
  const bench = useDispatch()
  const environment = useTestEnvironment()
  beforeEach(() => bench.clear())
  const options = () => {
    const { kinds, log } = bench.source
    return { kinds, log, environment: OURS, now: BigInt(Date.now()) * 1_000n }
  }
  const bad = { ...volume(1), kind: 'nobody knows', extras: { secret: 'a\u0000\ud800' } }

  test('what is written in a transaction is stored if and only if it commits', async () => {
    const prepared = await prepareRecords([volume(0)], options())
    const work = bench.source.db.transaction(async (tx) => {
      await writeOutbox(tx, prepared)
      throw new Error('no')
    })
    await expect(work).rejects.toThrow('no')
    expect(await bench.dispatch()).toMatchObject({ stored: 0 })
    await bench.source.db.transaction((tx) => writeOutbox(tx, prepared))
    expect(await bench.dispatch()).toMatchObject({ stored: 1, rejected: 0 })
  })

  test('what is refused is a reject, told of in the log, and the transaction goes on with the others', async () => {
    const prepared = await prepareRecords([bad, volume(0), bad], options())
    await bench.source.db.transaction((tx) => writeOutbox(tx, prepared))
    expect(await bench.dispatch()).toMatchObject({ stored: 1, rejected: 0 })
    expect((await bench.state()).rejects).toEqual(['ours record-schema-invalid open'])
    expect(bench.logged.filter(({ event }) => event === 'metadata_record_refused')).toHaveLength(2)
  })

  test('a strict producer fails before its transaction', async () => {
    const prepared = prepareRecords([volume(0), bad], { ...options(), strict: true })
    await expect(prepared).rejects.toThrow(RecordRefusedError)
  })

  test('what is no JSON at all is kept as well as it can be', async () => {
    const circular: Record<string, unknown> = { ...volume(0) }
    circular.extras = circular
    const prepared = await prepareRecords([circular as never, { ...volume(0), revision: 1n as never }], options())
    await bench.source.db.transaction((tx) => writeOutbox(tx, prepared))
    expect((await bench.state()).rejects).toHaveLength(2)
  })

  test('nothing is a transaction of its own', async () => {
    const none = await prepareRecords([], options())
    await bench.source.db.transaction((tx) => writeOutbox(tx, none))
    expect((await bench.state()).outbox).toBe(0)
  })

  describe('is announced', () => {
    test('in the process: the dispatcher runs at once', async () => {
      await bench.write([volume(0)])
      await inProcessBus(() => bench.dispatch(), bench.source.log).announce()
      expect((await bench.state()).records).toHaveLength(1)
    })

    test('by a hint without data in the queue metadata', async () => {
      const problems: string[] = []
      const env = { AzureWebJobsStorage: environment.storageConnectionString }
      const account = parseStorageAccount(env, 'AzureWebJobsStorage', (problem) => problems.push(problem))
      if (account === undefined) throw new Error(problems.join('\n'))
      const queues = createQueues({ account, hook: withoutHook })
      await queues.ensure('metadata')
      await queueBus({ queues, log: bench.source.log }).announce()
      const messages = await queues.receive('metadata', { countMax: 2, visibilitySeconds: 1 })
      expect(messages.map(({ body }) => body)).toEqual(['{"v":1}'])
    })

    test('and what was committed does not fail of its announcement', async () => {
      const failing = () => Promise.reject(new Error('queue is gone'))
      await inProcessBus(failing, bench.source.log).announce()
      expect(bench.logged).toMatchObject([{ level: 'warn', event: 'metadata_not_announced' }])
    })
  })
})
