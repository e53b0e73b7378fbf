import { BlobServiceClient } from '@azure/storage-blob'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Source } from '../../shared/sources/contract.ts'
import { CLOSE_OR_ZERO, closeAtMost, VOLUMES_IN_HUNDREDS } from '../ingest/changed-transform.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { openWorkbench, TWO_YEARS } from '../support/workbench.ts'
import { tributary } from './cli-run.ts'

const STREAM = 'alpaca/bars/SPX/1d'
const FILE = 'dataset=bars/timeframe=1d/symbol=SPX/year=2001/part-alpaca.parquet'
const TWO_MONTHS = { ...TWO_YEARS, origin: '2001-12-01', until: '2002-02-01' }
const NO_CLOSE = { faults: [{ kind: 'field', change: 'drop', field: 'c', row: 3 } as const] }

describe('repair and proof from the command line', () => {
  const environment = useTestEnvironment()
  /** Two published months with one reject, and no provider from then on. */
  const open = async ({ verify = true } = {}) => {
    const storage = environment.newStorageAccount()
    const bench = await openWorkbench({
      databaseUrl: await environment.newDatabase(),
      storageConnectionString: storage,
      streams: [TWO_MONTHS],
      simulator: NO_CLOSE,
      verify,
    })
    onTestFinished(() => bench.close())
    await bench.settle()
    await bench.simulator.close()
    const remove = (container: string, path: string) =>
      BlobServiceClient.fromConnectionString(storage).getContainerClient(container).getBlockBlobClient(path).delete()
    const run = (argv: readonly string[], sources?: ReadonlyMap<string, Source>) =>
      tributary(sources === undefined ? bench.platform : { ...bench.platform, sources }, argv)
    return { bench, run, remove }
  }
  const rebuildsOf = ({ bench }: Awaited<ReturnType<typeof open>>) =>
    bench.query(`select state from provenance.source_ingest where lane = 'reprocess'`)

  describe('reprocess', () => {
    test('--dry-run shows the difference per file and changes nothing', async () => {
      const hands = await open()
      const { code, out } = await hands.run(['reprocess', STREAM, '--dry-run'], VOLUMES_IN_HUNDREDS)
      expect(code).toBe(0)
      expect(out).toContain(`${STREAM}: 2 of 2 files would change (transform version 2)`)
      expect(out).toMatch(/year=2001\/part-alpaca\.parquet {2}1 → 2 {6}0 {11}19 {7}0 {8}0 {10}[\d,]+ → [\d,]+/)
      expect(await rebuildsOf(hands)).toEqual([])
    })

    test('without a terminal and without --yes it changes nothing, exits 2 and says so', async () => {
      const hands = await open()
      const { code, err } = await hands.run(['reprocess', STREAM], VOLUMES_IN_HUNDREDS)
      expect(code).toBe(2)
      expect(err).toMatch(
        /reprocess: expected --yes where nobody can be asked, got no terminal; nothing was changed\n$/,
      )
      expect(await rebuildsOf(hands)).toEqual([])
    })

    test('--yes publishes, and says what became of every file', async () => {
      const { run } = await open()
      const ran = await run(['reprocess', STREAM, '--yes', '--json'], VOLUMES_IN_HUNDREDS)
      expect(ran.code).toBe(0)
      expect(ran.json()).toMatchObject({
        applied: true,
        streams: [
          {
            stream: STREAM,
            rejects: { before: 1, now: 1, overLimit: [] },
            rebuilds: [
              { state: 'published', changed: 19, added: 0, removed: 0 },
              { state: 'published', changed: 21, added: 0, removed: 0 },
            ],
          },
        ],
      })
      const verified = await run(['verify', '--rebuild', '--json'], VOLUMES_IN_HUNDREDS)
      expect(verified.json()).toMatchObject({ counts: { same: 2, different: 0 } })
      const again = await run(['reprocess', STREAM, '--yes'], VOLUMES_IN_HUNDREDS)
      expect(again.out).toContain('0 of 2 files would change')
    })

    test('told to stop it exits 143, and the same command goes on', async () => {
      const { bench, run } = await open()
      const argv = ['reprocess', STREAM, '--yes', '--json']
      const later = { ...bench.platform, sources: VOLUMES_IN_HUNDREDS }
      const stopped = await tributary(later, argv, { stopAt: /"event":"rebuilt"/ })
      expect(stopped).toMatchObject({ code: 143, out: '' })
      const ran = await run(argv, VOLUMES_IN_HUNDREDS)
      expect(ran.code).toBe(0)
      expect(ran.json()).toMatchObject({ streams: [{ rebuilds: [{ state: 'published', changed: 21 }] }] })
    })

    test('of a paused stream is refused, with the way out', async () => {
      const hands = await open()
      await hands.run(['streams', 'pause', STREAM, '--reason', 'new key'])
      const { code, err } = await hands.run(['reprocess', STREAM, '--yes'], VOLUMES_IN_HUNDREDS)
      expect(code).toBe(2)
      expect(err).toMatch(/stream .+: expected one that is not paused, got "new key"; tributary streams resume .+\n$/)
      expect(await rebuildsOf(hands)).toEqual([])
    })

    test('that would reject too many records is refused unless --accept-rejects', async () => {
      const { run } = await open()
      const refused = await run(['reprocess', STREAM, '--yes'], closeAtMost(1_140))
      expect(refused.code).toBe(2)
      expect(refused.err).toMatch(/expected at most a fifth of 41 rejects, got \d+ .+; --accept-rejects takes them\n$/)
      expect((await run(['reprocess', STREAM, '--yes', '--accept-rejects'], closeAtMost(1_140))).code).toBe(0)
    })

    test('exits 1 where a file cannot be made', async () => {
      const { bench, run, remove } = await open({ verify: false })
      const [page] = await bench.query<{ path: string }>('select path from provenance.raw_page')
      await remove('raw', page?.path ?? '')
      const { code, out } = await run(['reprocess', STREAM, '--yes'], VOLUMES_IN_HUNDREDS)
      expect(code).toBe(1)
      expect(out).toContain(`${FILE} cannot be made: raw page ${page?.path}: expected a blob, there is none`)
    })

    test.each([
      ['an instant that is none', ['reprocess', STREAM, '--from', 'monday'], /expected a date such as/],
      ['a stream that is not there', ['reprocess', 'alpaca/bars/TSLA/1d'], /stream: expected the name of a stream/],
    ])('%s is refused with exit code 2', async (_what, argv, message) => {
      const { run } = await open()
      const { code, err } = await run(argv)
      expect(code).toBe(2)
      expect(err).toMatch(message)
    })
  })

  describe('verify', () => {
    test.each([[[]], [['--rebuild']]])(
      '%j exits 0 where all is as it must be, and 1 where a file is missing',
      async (options) => {
        const { run, remove } = await open({ verify: false })
        expect((await run(['verify', ...options])).code).toBe(0)
        await remove('curated', FILE)
        const { code, out } = await run(['verify', STREAM, ...options])
        expect(code).toBe(1)
        expect(out).toContain('1 same, 0 pending, 0 other-version, 1 different')
        expect(out).toContain(FILE)
      },
    )

    test('--sample looks at so many', async () => {
      const { run } = await open()
      const ran = await run(['verify', '--rebuild', '--sample', '1', '--json'])
      expect(ran.json()).toEqual({
        rebuild: true,
        counts: { same: 1, pending: 0, 'other-version': 0, different: 0 },
        notSame: [],
      })
    })
  })

  describe('fsck', () => {
    test('exits 0 without damage; with it 1, a plan that says the steps, and --repair does them', async () => {
      const { bench, run, remove } = await open()
      expect((await run(['fsck'])).out).toMatch(/no damage\n$/)
      await remove('curated', FILE)
      await bench.query('delete from provenance.raw_page')
      const planned = await run(['fsck', '--repair-plan'])
      expect(planned.code).toBe(1)
      expect(planned.out).toMatch(
        /repair plan:\n1\. write 1 lost rows of raw pages of ingest .+ again from their blobs/,
      )
      expect(planned.out).toContain(`by hand: ${FILE}: it cannot be made before the pages of ingest`)
      const repaired = await run(['fsck', '--repair', '--json'])
      expect(repaired.code).toBe(0)
      expect(repaired.json<{ repairs: { step: { kind: string }; done: boolean }[] }>().repairs).toMatchObject([
        { step: { kind: 'restore_pages' }, done: true },
        { step: { kind: 'rebuild_partition' }, done: true },
      ])
      expect((await run(['fsck', '--deep'])).code).toBe(0)
    })

    test('--repair and --repair-plan together are refused', async () => {
      const { run } = await open()
      expect(await run(['fsck', '--repair', '--repair-plan'])).toMatchObject({
        code: 2,
        err: 'fsck: expected --repair or --repair-plan, got both\n',
      })
    })
  })

  describe('explain', () => {
    test('row prints values, record, raw page, request and ingest', async () => {
      const { run } = await open()
      const { code, out } = await run(['explain', 'row', STREAM, '--key', 'ts=2001-12-04', 'symbol=SPX'])
      expect(code).toBe(0)
      expect(out).toMatch(
        /record \d+ of the raw page; with today's transform it makes this row\n {2}\{"t":"2001-12-04T05:00:00Z"/,
      )
      expect(out).toMatch(/raw page vendor=alpaca\/.+_e1_p0\.json\.gz/)
      expect(out).toMatch(/request +GET \/v2\/stocks\/bars\?symbols=SPX&/)
      expect(out).toMatch(/counts +40 inserted, 0 updated, 0 unchanged, 0 superseded, 1 rejected, 0 outside/)
    })

    test('partition and ingest print what is known of them', async () => {
      const { bench, run } = await open()
      const [ingest] = await bench.query<{ id: string }>('select source_ingest_id as id from provenance.source_ingest')
      const partition = await run(['explain', 'partition', FILE])
      expect(partition.out).toContain('the blob is the published one')
      expect(partition.out).toContain(`${ingest?.id}  live  published  current`)
      const explained = await run(['explain', 'ingest', ingest?.id ?? ''])
      expect(explained.out).toContain('timeframe=1d/symbol=SPX/year=2001/part-alpaca')
      expect(explained.out).toContain('close: expected a value, got none')
    })

    test.each([
      ['a row that is not there', ['explain', 'row', FILE, '--key', 'ts=2001-12-02']],
      ['a stream without the time of the row', ['explain', 'row', STREAM, '--key', 'symbol=SPX']],
      ['a key without a value', ['explain', 'row', FILE, '--key', 'ts']],
      ['an ingest that is no id', ['explain', 'ingest', '7']],
    ])('%s is refused with exit code 2', async (_what, argv) => {
      const { run } = await open()
      expect((await run(argv)).code).toBe(2)
    })
  })

  describe('rejects', () => {
    const openRejects = ({ bench }: Awaited<ReturnType<typeof open>>) =>
      bench.query(`select state from provenance.reject`)

    test('list names each with its record and its place', async () => {
      const { run } = await open()
      const { code, out } = await run(['rejects', 'list'])
      expect(code).toBe(0)
      expect(out).toMatch(/alpaca\/bars\/SPX\/1d {2}missing {2}open {3}1/)
      expect(out).toContain('close: expected a value, got none')
      expect(out).toMatch(/record 3 of page 0 of ingest .+, vendor=alpaca/)
      expect((await run(['rejects', 'list', '--code', 'unreadable'])).out).toBe('no rejects\n')
    })

    test('waive lets them go with a reason, and the sweep closes the alert', async () => {
      const hands = await open()
      const { bench, run } = hands
      await bench.sweep()
      const alerts = () => bench.query(`select kind from ops.alert where closed_at is null and kind = 'rejects'`)
      expect(await alerts()).toHaveLength(1)
      expect((await run(['rejects', 'waive', STREAM, '--reason', 'halted'])).out).toBe(`${STREAM}: 1 waived\n`)
      await bench.sweep()
      expect(await alerts()).toEqual([])
      expect(await openRejects(hands)).toEqual([{ state: 'waived' }])
      expect((await run(['rejects', 'waive', STREAM, '--reason', 'halted'])).out).toBe(`${STREAM}: 0 waived\n`)
      expect(await bench.query('select action, subject, after ->> $1 as reason from ops.audit', ['reason'])).toEqual([
        { action: 'waive_rejects', subject: STREAM, reason: 'halted' },
      ])
    })

    test('replay brings the row of a record that fits now into its file, without the provider', async () => {
      const hands = await open()
      const { run } = hands
      const before = await run(['rejects', 'replay', STREAM, '--yes'])
      expect(before).toMatchObject({
        code: 0,
        out: `${STREAM}: 0 of 0 files would change (transform version 1)\nrejects: 1 → 1\n`,
      })
      const ran = await run(['rejects', 'replay', STREAM, '--yes', '--json'], CLOSE_OR_ZERO)
      expect(ran.code).toBe(0)
      expect(ran.json()).toMatchObject({
        streams: [
          { rebuilds: [{ state: 'published', added: 1, removed: 0 }], settledRejects: { replayed: 1, opened: 0 } },
        ],
      })
      expect(await openRejects(hands)).toEqual([{ state: 'replayed' }])
      const row = await run(['explain', 'row', STREAM, '--key', 'ts=2001-12-06', '--json'], CLOSE_OR_ZERO)
      expect(row.json()).toMatchObject({ values: { close: 0 }, record: { ordinal: 3 }, madeAgain: true })
      const verified = await run(['verify', '--rebuild', '--json'], CLOSE_OR_ZERO)
      expect(verified.json()).toMatchObject({ counts: { same: 1, 'other-version': 1, different: 0 } })
    })

    test('replay brings it into a file that its ingest had no row in', async () => {
      const bench = await openWorkbench({
        databaseUrl: await environment.newDatabase(),
        storageConnectionString: environment.newStorageAccount(),
        // The one day of 2001 in its window has no close.
        streams: [{ ...TWO_YEARS, origin: '2001-12-31', until: '2002-02-01' }],
        simulator: { faults: [{ kind: 'field', change: 'drop', field: 'c', row: 0 }] },
      })
      onTestFinished(() => bench.close())
      await bench.settle()
      const listed = () => bench.query(`select partition_key from curated.partition_ingest order by 1`)
      expect(await listed()).toHaveLength(1)
      const later = { ...bench.platform, sources: CLOSE_OR_ZERO }
      expect((await tributary(later, ['rejects', 'replay', STREAM, '--yes'])).code).toBe(0)
      expect(await listed()).toHaveLength(2)
      const row = await tributary(later, ['explain', 'row', STREAM, '--key', 'ts=2001-12-31', '--json'])
      expect(row.json()).toMatchObject({ values: { close: 0 }, madeAgain: true })
    })

    test('replay --ingest takes those of one ingest', async () => {
      const hands = await open()
      const [ingest] = await hands.bench.query<{ id: string }>(
        'select source_ingest_id as id from provenance.source_ingest',
      )
      const { code } = await hands.run(['rejects', 'replay', '--ingest', ingest?.id ?? '', '--yes'], CLOSE_OR_ZERO)
      expect(code).toBe(0)
      expect(await openRejects(hands)).toEqual([{ state: 'replayed' }])
    })

    test('a reject whose file was made again already is only marked', async () => {
      const hands = await open()
      await hands.run(['reprocess', STREAM, '--yes'], CLOSE_OR_ZERO)
      expect(await openRejects(hands)).toEqual([{ state: 'replayed' }])
      await hands.bench.query(`update provenance.reject set state = 'open'`)
      const ran = await hands.run(['rejects', 'replay', STREAM, '--yes', '--json'], CLOSE_OR_ZERO)
      expect(ran.json()).toMatchObject({ streams: [{ rebuilds: [], settledRejects: { replayed: 1 } }] })
    })

    test.each([
      ['neither', ['rejects', 'waive', '--reason', 'x']],
      ['both', ['rejects', 'replay', STREAM, '--ingest', '01987c3e-0000-7000-8000-000000000000']],
    ])('%s of stream and --ingest is refused', async (what, argv) => {
      const { run } = await open()
      const { code, err } = await run(argv)
      expect({ code, err }).toEqual({ code: 2, err: `rejects: expected a stream or --ingest, got ${what}\n` })
    })
  })
})
