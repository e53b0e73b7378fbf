import { appendFile, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createMetadataClient } from '../../shared/metadata/client.ts'
import type { NewMetadataRecord } from '../../shared/metadata/model/record.ts'
import { createEmitter, type Emitter, type EmitterOptions } from '../../shared/metadata/remote/emitter.ts'
import { openServiceClient } from '../../shared/metadata/remote/service-client.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { counted, TARGET, volume } from './fact.ts'
import { type ServedMetadata, serveMetadata } from './remote-bench.ts'
import { type Fault, type FaultyProxy, startProxy } from './remote-proxy.ts'

describe('the emitter', () => {
  const environment = useTestEnvironment()
  let served: ServedMetadata
  let proxy: FaultyProxy
  let token: string
  let spillFolder: string
  beforeAll(async () => {
    served = await serveMetadata(environment.databaseUrl)
    proxy = await startProxy(served.url)
    token = await served.token({ tenant: 'ours' })
  })
  afterAll(async () => {
    await proxy.close()
    await served.close()
  })
  beforeEach(async () => {
    proxy.next()
    spillFolder = await mkdtemp(join(tmpdir(), 'tributary-spill-'))
    return () => rm(spillFolder, { recursive: true })
  })

  const emitter = (options: EmitterOptions = {}) =>
    createEmitter(openServiceClient({ url: proxy.url, token, backoffBaseMs: 1 }), { spillFolder, ...options })
  const fact = (table: string, fields: Partial<NewMetadataRecord> = {}) =>
    volume(0, { target: { ...TARGET, table }, ...fields })
  const facts = (table: string, count: number) =>
    Array.from({ length: count }, (_, n) => fact(table, { scope: String(n) }))
  const storedOf = async (table: string) => {
    const client = createMetadataClient({ url: served.url, token })
    const { records } = await client.query({ target: { ...TARGET, table } }, { limit: 500 })
    return records.length
  }
  /** Stored now, or by a request that was given up and came through after all. */
  const answered = async (emits: Emitter) => {
    const { stored, replayed } = await emits.flush()
    return stored + replayed
  }
  const spilled = () => readdir(spillFolder)
  const NOTHING = { stored: 0, replayed: 0, refused: 0, spilled: 0, dropped: 0, problems: [], error: null }

  test('what was emitted is stored with the flush, which counts since the flush before', async () => {
    const emits = emitter()
    for (const record of [fact('flush'), fact('flush'), fact('flush', { scope: 's' })]) emits.emit(record)
    expect(proxy.seen).toEqual([])
    expect(await emits.flush()).toEqual({ ...NOTHING, stored: 2, replayed: 1 })
    expect(await emits.flush()).toEqual(NOTHING)
    expect(await storedOf('flush')).toBe(2)
  })

  test('a batch goes as soon as 500 records wait', async () => {
    const emits = emitter()
    for (const record of facts('batch', 500)) emits.emit(record)
    while (proxy.seen[0]?.status !== 200) await new Promise((resolve) => setTimeout(resolve, 5))
    emits.emit(fact('batch'))
    expect(await emits.flush()).toEqual({ ...NOTHING, stored: 501 })
    expect(proxy.seen).toHaveLength(2)
  })

  test('what was emitted is what it was then', async () => {
    const emits = emitter()
    const payload = { ...counted(1) }
    emits.emit(fact('copy', { payload }))
    Object.assign(payload, { records: -1 })
    expect(await emits.flush()).toEqual({ ...NOTHING, stored: 1 })
  })

  test('a record that nobody takes is counted, with what is wrong; the others are stored', async () => {
    const emits = emitter()
    emits.emit(fact('bad', { payload: counted(Number.NaN) }))
    emits.emit(fact('bad', { payload: { ...counted(1), records: -1 } }))
    emits.emit(fact('bad'))
    const { problems, ...counts } = await emits.flush()
    expect(counts).toMatchObject({ stored: 1, refused: 2, spilled: 0 })
    expect(problems.map(({ errors }) => errors[0]?.pointer)).toEqual(['/payload/records', '/payload/records'])
  })

  test('a strict one throws what is wrong with a record at once, and what the service refuses with the flush', async () => {
    const emits = emitter({ strict: true })
    expect(() => emits.emit(fact('strict', { payload: counted(Number.NaN) }))).toThrow(/payload\/records/)
    emits.emit(fact('strict', { payload: { ...counted(1), records: -1 } }))
    await expect(emits.flush()).rejects.toThrow(/got 1 refused/)
    proxy.always('refuse')
    emits.emit(fact('strict'))
    await expect(emits.flush()).rejects.toThrow(/got 1 that were not/)
  })

  test.each<Fault>(['refuse', 'lost', 'cut', { status: 503 }, { status: 401 }, { status: 404, body: '<html>' }])(
    'what a service that is away did not answer is stored once by the next process: %s',
    async (fault) => {
      const table = `away ${JSON.stringify(fault)}`
      const before = emitter()
      for (const record of facts(table, 3)) before.emit(record)
      proxy.always(fault)
      const counts = await before.flush()
      expect(counts).toMatchObject({ stored: 0, spilled: 3, dropped: 0 })
      expect(counts.error?.message).toContain('metadata service POST /records/batch')
      expect(await spilled()).toHaveLength(1)
      proxy.next()
      expect(await answered(emitter())).toBe(3)
      expect(await storedOf(table)).toBe(3)
      expect(await spilled()).toEqual([])
    },
  )

  test('a crash between the answer and the removal of the file sends it again, which changes nothing', async () => {
    const before = emitter()
    for (const record of facts('twice', 3)) before.emit(record)
    proxy.always('refuse')
    await before.flush()
    const [file = ''] = await spilled()
    proxy.next('lost')
    const two = [emitter().flush(), emitter().flush()]
    const sums = (await Promise.all(two)).map(({ stored, replayed }) => stored + replayed)
    expect(Math.max(...sums)).toBe(3)
    expect(await storedOf('twice')).toBe(3)
    expect(await spilled()).not.toContain(file)
  })

  test('a full queue goes to disk, and nothing is lost', async () => {
    const emits = emitter({ queueMax: 10 })
    for (const record of facts('full', 25)) emits.emit(record)
    expect(await spilled()).toHaveLength(2)
    expect(await emits.flush()).toMatchObject({ stored: 25, spilled: 20, dropped: 0 })
    expect(await storedOf('full')).toBe(25)
  })

  test('without a folder, or with one that cannot be written to, what does not fit is dropped and told of', async () => {
    proxy.always('refuse')
    const file = join(spillFolder, 'a file')
    await writeFile(file, '')
    for (const folder of [undefined, file]) {
      const { spillFolder: _, ...none } = { spillFolder }
      const emits = emitter(folder === undefined ? { ...none, spillBytesMax: 0 } : { spillFolder: folder })
      emits.emit(fact('dropped'))
      expect(await emits.flush()).toMatchObject({ spilled: 0, dropped: 1, error: expect.any(Error) })
    }
  })

  test('a folder holds so many bytes and no more', async () => {
    proxy.always('refuse')
    const emits = emitter({ spillBytesMax: 1_000 })
    for (const record of facts('bytes', 10)) emits.emit(record)
    const counts = await emits.flush()
    expect(counts.spilled).toBeGreaterThan(0)
    expect(counts.spilled + counts.dropped).toBe(10)
    expect(counts.dropped).toBeGreaterThan(0)
  })

  test('a flush ends while the service hangs, and what was under way waits on disk', async () => {
    proxy.always('hang')
    const emits = emitter({ flushMs: 100 })
    for (const record of facts('hang', 501)) emits.emit(record)
    expect(await emits.flush()).toMatchObject({ stored: 0, spilled: 501 })
    proxy.next()
    expect(await answered(emitter())).toBe(501)
  })

  test('a correction that came before what it corrects waits on disk until that is stored', async () => {
    const emits = emitter()
    emits.emit(fact('gap', { revision: 1, payload: counted(2) }))
    expect(await emits.flush()).toMatchObject({ stored: 0, refused: 0, spilled: 1 })
    expect(await emits.flush()).toMatchObject({ stored: 0, refused: 0, spilled: 0 })
    emits.emit(fact('gap', { payload: counted(1) }))
    expect(await emits.flush()).toMatchObject({ stored: 2 })
    expect(await spilled()).toEqual([])
  })

  test('a correction whose predecessor did not come in a day is refused', async () => {
    const emits = emitter()
    const old = String(Date.now() - 86_400_001).padStart(15, '0')
    await writeFile(join(spillFolder, `${old}-x.jsonl`), `${JSON.stringify(fact('never', { revision: 1 }))}\n`)
    proxy.always('refuse')
    expect(await emits.flush()).toMatchObject({ refused: 0 })
    expect(await spilled()).toHaveLength(1)
    proxy.next()
    expect(await emits.flush()).toMatchObject({ refused: 1, problems: [{ code: 'revision-gap' }] })
    expect(await spilled()).toEqual([])
  })

  test('a damaged line takes no other with it, and is told of', async () => {
    const before = emitter()
    before.emit(fact('damaged'))
    proxy.always('refuse')
    await before.flush()
    const [file = ''] = await spilled()
    await appendFile(join(spillFolder, file), '{"target":\n')
    proxy.next()
    expect(await emitter().flush()).toMatchObject({ stored: 1, dropped: 1 })
    expect(await storedOf('damaged')).toBe(1)
    expect(await spilled()).toEqual([])
  })

  test('what is still being written is left alone', async () => {
    const name = `${String(Date.now()).padStart(15, '0')}-x.jsonl.part`
    await writeFile(join(spillFolder, name), JSON.stringify(fact('part')).slice(0, 100))
    await utimes(join(spillFolder, name), 0, 0)
    expect(await emitter().flush()).toEqual(NOTHING)
    expect(await spilled()).toEqual([name])
  })

  test('a process that is told to end puts all on disk at once, what is under way included', async () => {
    const emits = emitter()
    proxy.always('hang')
    for (const record of facts('end', 501)) emits.emit(record)
    while (proxy.seen.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    emits.spill()
    proxy.next()
    expect(await answered(emitter())).toBe(501)
  })
})
