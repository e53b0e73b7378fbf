import { describe, expect, test } from 'vitest'
import { TARGET, volume } from '../metadata/fact.ts'
import { useMetadataCommands } from './cli-metadata-bench.ts'
import { runCommand } from './run-command.ts'

const VOLUME = ['--kind', 'ingestion_volume']

type Page = { records: { window: { start: string } }[]; next: string | null; compacted: string[] }

describe('metadata records from the command line', () => {
  const bench = useMetadataCommands()
  let tables = 0
  /** So many volumes, a day each, of a target that no other test has. */
  const emit = async (days: number, tenant = 'ours') => {
    const table = `T${++tables}`
    const records = Array.from({ length: days }, (_, day) => volume(day, { target: { ...TARGET, table } }))
    const ran = await bench.run('emit', await bench.file(records), '--tenant', tenant)
    expect(ran.code).toBe(0)
    return { table, target: `alpaca/bars/${table}`, records }
  }
  const daysOf = ({ records }: Page) => records.map(({ window }) => window.start.slice(8, 10)).join(' ')

  describe('emit', () => {
    test('stores each record of JSON lines and names its id', async () => {
      const records = [volume(0), volume(1)].map((one) => ({ ...one, target: { ...TARGET, table: 'emitted' } }))
      const path = await bench.file(records)
      const ran = await bench.run('emit', path)
      expect(ran).toMatchObject({ code: 0, err: '' })
      expect(ran.out).toMatch(
        /^record 1 \(line 1\): stored [0-9a-f-]{36}\nrecord 2 \(line 2\): stored .+\n2 stored, 0 there already, 0 refused\n$/,
      )
      expect(await bench.audited(`emit_metadata ${path}`)).toEqual([`test emit_metadata ${path}`])
      expect((await bench.run('emit', path)).out).toContain('0 stored, 2 there already, 0 refused')
      expect(await bench.audited(`emit_metadata ${path}`)).toHaveLength(1)
    })

    test('exits 1 where some were refused, says why of each, and stores the others', async () => {
      const good = { ...volume(0), target: { ...TARGET, table: 'partly' } }
      const path = await bench.file(
        `${JSON.stringify({ ...good, kind: 'gossip' })}\n\n{"kind":\n${JSON.stringify(good)}`,
      )
      const ran = await bench.run('emit --json', path)
      expect(ran.code).toBe(1)
      expect(ran.json()).toMatchObject({
        stored: 1,
        replayed: 0,
        refused: 2,
        results: [
          { place: 'record 1 (line 1)', outcome: 'refused', problem: { code: 'unknown-kind' } },
          { place: 'record 2 (line 3)', outcome: 'refused', problem: { code: 'record-schema-invalid' } },
          { place: 'record 3 (line 4)', outcome: 'stored' },
        ],
      })
    })

    test.each([
      [
        'an array over many lines',
        (record: unknown) => JSON.stringify([record, record], null, 2),
        'record 2 (line 1): there already',
      ],
      ['one object over many lines', (record: unknown) => JSON.stringify(record, null, 2), 'record 1 (line 1): stored'],
      [
        'JSON lines of which the first is broken',
        (record: unknown) => `{"a\n${JSON.stringify(record)}`,
        'record 2 (line 2): stored',
      ],
    ])('takes %s', async (what, write, line) => {
      const ran = await bench.run('emit', await bench.file(write(volume(0, { target: { ...TARGET, table: what } }))))
      expect(ran.out).toContain(line)
    })

    test('text that is no JSON is one refusal, and a file that is not there exits 2', async () => {
      const ran = await bench.run('emit', await bench.file('hello\nworld'))
      expect(ran.code).toBe(1)
      expect(ran.out).toBe(
        'record 1 (line 1): refused, record-schema-invalid: expected JSON lines or one JSON document, got neither\n0 stored, 0 there already, 1 refused\n',
      )
      expect(await bench.run('emit /nowhere.json')).toMatchObject({
        code: 2,
        err: expect.stringMatching(/^records: expected to read \/nowhere.json, got ENOENT/),
      })
    })

    test('told to stop it exits 143, and the same command goes on', async () => {
      const records = Array.from({ length: 600 }, (_, day) => volume(day, { target: { ...TARGET, table: 'stopped' } }))
      const path = await bench.file(records.map((record) => JSON.stringify(record)).join('\n'))
      const stop = new AbortController()
      const onErr = () => stop.abort()
      expect(await bench.runWith({ signal: stop.signal, onErr }, 'emit', path)).toMatchObject({ code: 143, out: '' })
      const ran = await bench.run('emit --json', path)
      expect(ran.code).toBe(0)
      expect(ran.json()).toMatchObject({ replayed: 500, stored: 100 })
    })
  })

  describe('latest', () => {
    test('shows the newest record of every kind', async () => {
      const { target } = await emit(3)
      const { code, out } = await bench.run('latest', target)
      expect(code).toBe(0)
      expect(out).toMatch(new RegExp(`^ingestion_volume 1.0 of ${target}\n  effective  2024-01-04T00:00:00Z\n`))
      expect(out).toMatch(/ {2}run {8}run-2\n/)
    })

    test('exits 1 where nothing is said', async () => {
      const { target } = await emit(1)
      expect(await bench.run('latest', target, '--kind', 'schedule')).toMatchObject({
        code: 1,
        out: `nothing is said about ${target} as schedule\n`,
      })
      expect((await bench.run('latest', target, '--tenant', 'theirs')).code).toBe(1)
    })
  })

  describe('history and query', () => {
    test('history pages from the newest on, as far as --limit, and goes on --after', async () => {
      const { target } = await emit(5)
      const argv = ['history', target, ...VOLUME, '--limit', '2', '--json']
      const first = (await bench.runWith({}, ...argv)).json() as Page
      expect(daysOf(first)).toBe('05 04')
      const second = (await bench.runWith({}, ...argv, '--after', first.next ?? '')).json() as Page
      expect(daysOf(second)).toBe('03 02')
      const other = await bench.run('history', target, ...VOLUME, '--from', '2024-01-03', '--after', first.next ?? '')
      expect(other).toMatchObject({ code: 2, err: expect.stringContaining('cursor: expected the request') })
    })

    test('--from and --to take what is effective between', async () => {
      const { target } = await emit(5)
      const argv = ['history', target, ...VOLUME, '--from', '2024-01-03', '--to', '2024-01-05', '--json']
      expect(daysOf((await bench.runWith({}, ...argv)).json() as Page)).toBe('03 02')
      expect(daysOf((await bench.runWith({}, ...argv, '--all')).json() as Page)).toBe('03 02')
    })

    test('query takes what fits every condition, in a page and with --all', async () => {
      const { target, table } = await emit(3)
      const extras = { lane: 'backfill' }
      const other = volume(7, {
        target: { ...TARGET, table },
        extras,
        context: { namespace: 'x', runId: 'odd', jobId: 'j' },
      })
      await bench.run('emit', await bench.file([other]))
      for (const all of [[], ['--all']]) {
        const query = async (...conditions: string[]) =>
          daysOf(
            (await bench.run('query', '--target', target, ...VOLUME, ...conditions, ...all, '--json')).json() as Page,
          )
        expect(await query()).toBe('08 03 02 01')
        expect(await query('--run', 'run-1')).toBe('02')
        expect(await query('--job', 'j')).toBe('08')
        expect(await query('--extra', 'lane=backfill')).toBe('08')
        expect(await query('--producer', 'nobody')).toBe('')
        expect(await query('--outcome', 'pass')).toBe('')
      }
    })

    test.each([
      [
        'an extra that the kind does not declare',
        ['query', ...VOLUME, '--extra', 'colour=red'],
        /extras of ingestion_volume: expected/,
      ],
      ['an extra without a value', ['query', ...VOLUME, '--extra', 'colour'], /expected name=value/],
      ['--all without a kind', ['query', '--all'], /expected --kind, got none/],
      ['--all with a page', ['query', ...VOLUME, '--all', '--limit', '3'], /expected --all, or --limit and --after/],
      ['a target that is none', ['latest', 'alpaca'], /expected source\/schema\/table/],
      ['a tenant that is none', ['latest', 'a/b/c', '--tenant', 'No'], /expected up to 63 of a-z/],
      ['a cursor that is none', ['query', '--after', 'x'], /cursor: expected one that a page named/],
    ])('%s is refused with exit code 2', async (_what, argv, message) => {
      const { code, err } = await bench.runWith({}, ...argv)
      expect(err).toMatch(message)
      expect(code).toBe(2)
    })

    test('a target whose names have a / in them is named as an array', async () => {
      const target = { sourceId: 'a/b', schema: 'c', table: 'd/e' }
      await bench.run('emit', await bench.file([volume(0, { target })]))
      const ran = await bench.run('latest', '["a/b","c","d/e"]')
      expect(ran).toMatchObject({ code: 0, out: expect.stringContaining('of ["a/b","c","d/e"]\n') })
    })
  })

  describe('compact', () => {
    test('moves what is no longer hot to files, which history --all reads and a page names', async () => {
      const { target } = await emit(4, 'packed')
      const [at] = ['--tenant', 'packed', '--json'].join(' ').split('\n')
      const history = async (...more: string[]) =>
        (await bench.run(`history ${target} ${VOLUME.join(' ')} ${at}`, ...more)).json() as Page
      await bench.query(
        `update metadata.record set stored_at = now() - interval '200 days'
          where tenant_no = (select tenant_no from metadata.tenant where tenant = 'packed')`,
      )
      const planned = await bench.run('compact --dry-run')
      expect(planned.out).toMatch(/ingestion_volume {2}1 {5}1 {6}4 {9}3 {10}\d{4}-/)
      const before = await history('--all')
      const ran = await bench.run('compact --json')
      expect(ran.code).toBe(0)
      expect(ran.json()).toContainEqual(
        expect.objectContaining({ kind: 'ingestion_volume', filesWritten: 1, recordsWritten: 4, recordsDeleted: 3 }),
      )
      const page = await history()
      expect(daysOf(page)).toBe('04')
      expect(page.compacted).toEqual([expect.stringMatching(/tenant=packed\/kind=ingestion_volume\/.+\.parquet$/)])
      expect(await history('--all')).toEqual(before)
      expect(daysOf(before)).toBe('04 03 02 01')
      expect((await bench.run('compact --dry-run')).out).toBe('nothing is due\n')
    })

    test('exits 75 while another one is at it', async () => {
      await bench.query(`insert into metadata.lease (lease, epoch, expires_at) values ('metadata-compaction', 99, now() + interval '1 hour')
        on conflict (lease) do update set expires_at = excluded.expires_at`)
      expect(await bench.run('compact')).toMatchObject({ code: 75, out: 'another one is at it: try again later\n' })
      await bench.query(`update metadata.lease set expires_at = now()`)
    })
  })

  test('retention without a source that has one says so', async () => {
    expect(await bench.run('retention --dry-run')).toMatchObject({
      code: 0,
      out: 'TRIBUTARY_RAW_RETENTION names no source: raw pages are kept for ever\n',
    })
  })

  test('an embedded repository is read and written alike, and what needs PostgreSQL says so', async () => {
    const path = await bench.file([volume(0), volume(1)])
    const embedded = bench.open({ METADATA_REPOSITORY: 'embedded', METADATA_DIR: `${path}.records` })
    const run = (...argv: string[]) => runCommand(embedded, ['metadata', ...argv])
    expect((await run('emit', path)).out).toContain('2 stored')
    expect((await run('latest', 'alpaca/bars/TSLA/1d')).out).toContain('run-1')
    const all = (await run('history', 'alpaca/bars/TSLA/1d', ...VOLUME, '--all', '--json')).json() as Page
    expect(daysOf(all)).toBe('02 01')
    for (const command of ['compact', 'consumers', 'feed status', 'kinds list', 'tokens list', 'principals list']) {
      const [group = ''] = command.split(' ')
      expect(await run(...command.split(' '))).toMatchObject({
        code: 2,
        err: `METADATA_REPOSITORY: expected postgres, which tributary metadata ${group} needs, got embedded\n`,
      })
    }
  })
})
