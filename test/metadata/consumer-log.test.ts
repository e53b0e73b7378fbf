import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { APPEND_BYTES_MAX, type BlobContainer } from '../../shared/azure/blobs.ts'
import { parseInstant } from '../../shared/instant.ts'
import { logConsumer } from '../../shared/metadata/consumers/log.ts'
import { logLine } from '../../shared/metadata/consumers/logged-record.ts'
import { readLog } from '../../shared/metadata/consumers/read-log.ts'
import type { ConsumeContext } from '../../shared/metadata/feed/consumer.ts'
import type { FedRecord } from '../../shared/metadata/feed/feed.ts'
import { createFaultyIo, FAULTS } from '../support/faulty-io.ts'
import { COUNTS, volume } from './fact.ts'
import { useFeed } from './feed-bench.ts'

const days = (count: number, from = 0) => Array.from({ length: count }, (_, index) => volume(from + index))
const runs = (records: Iterable<{ readonly record: FedRecord['record'] }>) =>
  Array.from(records, ({ record }) => record.context.runId)

describe('the log', () => {
  const feed = useFeed()
  let container: BlobContainer
  beforeAll(async () => {
    container = feed.container()
    await container.ensure()
  })
  beforeEach(() => feed.clear())

  // Each test has an hour of its own: blobs stay.
  let hours = 0
  const nextHour = () => instant(`2026-01-${String(++hours).padStart(2, '0')}T10:59:00Z`)
  const context = (readAt: bigint): ConsumeContext => ({
    db: feed.db(),
    readAt,
    signal: new AbortController().signal,
  })
  const read = async (from: bigint, options: Partial<Parameters<typeof readLog>[0]> = {}) => {
    const logged = []
    for await (const one of readLog({ container, from, to: from, ...options })) logged.push(one)
    return logged
  }
  const fed = async (records: readonly unknown[], tenant?: string) => {
    await feed.store(records, tenant)
    return (await feed.read({ limit: 500 })).records
  }
  const textOf = async (path: string) => Buffer.from((await container.get(path))?.body ?? []).toString()
  const pathOf = (at: bigint) => `log/2026/01/${new Date(Number(at / 1000n)).toISOString().slice(8, 10)}/10.jsonl`

  test('holds each record as every repository gives it, and whose it is, in the hour of the read', async () => {
    const at = nextHour()
    const records = await fed([volume(1, { scope: 'a', extras: { lane: 'live' }, links: { parent: 'p' }, key: 'k' })])
    await logConsumer({ container }).consume(records, context(at))
    const line = { tenant: 'ours', ...records[0]?.record }
    expect((await textOf(pathOf(at))).split('\n').map((text) => text && JSON.parse(text))).toEqual([line, ''])
    expect(await read(at)).toEqual(records.map(({ tenant, record }) => ({ tenant, record })))
  })

  test('follows the feed: every record once, in order, in blocks of a page', async () => {
    const consumer = logConsumer({ container })
    const before = (await feed.read()).readAt
    await feed.store(days(7))
    expect(await feed.run(consumer, { batchMax: 3 })).toBe('done')
    await feed.store(days(2, 7))
    expect(await feed.run(logConsumer({ container }), { batchMax: 3 })).toBe('done')
    const logged = []
    for await (const one of readLog({ container, from: before })) logged.push(one)
    expect(runs(logged)).toEqual(runs((await feed.read()).records))
    expect(logged).toHaveLength(9)
  })

  test('does not append again what a writer left there that never heard so', async () => {
    const at = nextHour()
    const records = await fed(days(4))
    // It is gone before its cursor moved; the page that follows may hold more than it had.
    await logConsumer({ container }).consume(records.slice(0, 3), context(at))
    await logConsumer({ container }).consume(records, context(at))
    expect((await textOf(pathOf(at))).trim().split('\n')).toHaveLength(4)
    expect(runs(await read(at))).toEqual(runs(records))
  })

  test.each(FAULTS.slice(0, 2))('is gone on with by the process whose append failed %s it happened', async (kind) => {
    const at = nextHour()
    const records = await fed(days(4))
    const io = createFaultyIo()
    const consumer = logConsumer({ container: feed.container(io.hook) })
    await consumer.consume(records.slice(0, 2), context(at))
    io.arm({ kind, at: 0 })
    await expect(consumer.consume(records.slice(2), context(at))).rejects.toThrow('injected fault: blob append')
    await consumer.consume(records.slice(2), context(at))
    expect((await textOf(pathOf(at))).trim().split('\n')).toHaveLength(4)
    expect(runs(await read(at))).toEqual(runs(records))
  })

  test('of two writers at once holds each record, and repeats nothing silently', async () => {
    const at = nextHour()
    const records = await fed(days(60))
    const writers = [logConsumer({ container }), logConsumer({ container })]
    for (let start = 0; start < 60; start += 10) {
      const page = records.slice(start, start + 10)
      await Promise.all(writers.map((writer) => writer.consume(page, context(at))))
    }
    expect((await textOf(pathOf(at))).trim().split('\n')).toHaveLength(60)
    expect(runs(await read(at))).toEqual(runs(records))
  })

  test('goes on in the hour that was begun, though the clock of the database has gone back', async () => {
    const at = nextHour()
    const records = await fed(days(2))
    const later = at + 120_000_000n
    await logConsumer({ container }).consume(records.slice(0, 1), context(later))
    await logConsumer({ container }).consume(records.slice(1), context(at))
    expect(await textOf(pathOf(at))).toBe('')
    expect(runs(await read(at, { to: later }))).toEqual(runs(records))
  })

  test('takes records of any size, as many in a block as fit', async () => {
    const at = nextHour()
    const text = 'ä'.repeat(110_000)
    const records = await fed(days(25).map((record) => ({ ...record, payload: { ...COUNTS, filter: { text } } })))
    expect(records.length * 220_000).toBeGreaterThan(APPEND_BYTES_MAX)
    const blocks: number[] = []
    const counted = feed.container((operation, run) => {
      if (operation.action === 'append') blocks.push(1)
      return run()
    })
    await logConsumer({ container: counted }).consume(records, context(at))
    // The blob is not there at first.
    expect(blocks).toHaveLength(3)
    expect(runs(await read(at))).toEqual(runs(records))
  })

  test('after a line that was cut off keeps what follows', async () => {
    const at = nextHour()
    const records = await fed(days(2))
    const [first] = records
    const line = first === undefined ? '' : logLine(first)
    await container.append(pathOf(at), Buffer.from(line + line.slice(0, 50)), { position: null })
    const torn: string[] = []
    const told = { torn: (place: string) => torn.push(place) }
    expect(runs(await read(at, told))).toEqual(['run-0'])
    await logConsumer({ container }).consume(records, context(at))
    expect(runs(await read(at, told))).toEqual(['run-0', 'run-1'])
    expect(torn).toEqual(Array(2).fill(`${pathOf(at)} at byte ${Buffer.byteLength(line)}`))
  })

  describe('is read', () => {
    test('from an hour on to another, and only what is an hour of it', async () => {
      const at = nextHour()
      const records = await fed(days(3))
      const base = pathOf(at).slice(0, -'10.jsonl'.length)
      for (const [hour, index] of [
        ['08', 0],
        ['10', 1],
        ['11', 2],
      ] as const) {
        await container.append(`${base}${hour}.jsonl`, lines(records.slice(index, index + 1)), { position: 0 })
      }
      await container.append(`${base}10.txt`, Buffer.from('no log\n'), { position: 0 })
      expect(runs(await read(at, { to: at + HOUR }))).toEqual(['run-1', 'run-2'])
      expect(runs(await read(at - 2n * HOUR, { to: at }))).toEqual(['run-0', 'run-1'])
    })

    test('each record once, however often it is there', async () => {
      const at = nextHour()
      const records = await fed(days(3))
      const path = pathOf(at)
      await container.append(path, lines([...records, ...records.slice(1)]), { position: 0 })
      await container.append(path.replace('10.jsonl', '11.jsonl'), lines(records), { position: 0 })
      expect(runs(await read(at, { to: at + HOUR }))).toEqual(runs(records))
      // Who remembers one sees a repetition that is further away.
      expect(await read(at, { rememberedMax: 1 })).toHaveLength(5)
    })

    test('loudly where a line is JSON and no record', async () => {
      const at = nextHour()
      await container.append(pathOf(at), Buffer.from('{"tenant":"ours"}\n'), { position: 0 })
      await expect(read(at)).rejects.toThrow(`log ${pathOf(at)} at byte 0: expected a metadata record`)
    })
  })
})

const HOUR = 3_600_000_000n

function lines(records: readonly FedRecord[]): Buffer {
  return Buffer.from(records.map(logLine).join(''))
}

function instant(text: string): bigint {
  const at = parseInstant(text)
  if (at === undefined) throw new Error(`test: expected an instant, got ${text}`)
  return at
}
