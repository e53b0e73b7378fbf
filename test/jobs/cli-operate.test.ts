import { writeFile } from 'node:fs/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { useTestEnvironment } from '../support/environment.ts'
import { openWorkbench, TWO_YEARS, type Workbench, type WorkbenchOptions } from '../support/workbench.ts'
import { type CommandOptions, runCommand } from './run-command.ts'

const SPX = 'alpaca/bars/SPX/1d'
const OTHER = { ...TWO_YEARS, params: { symbol: 'SPX', timeframe: '1d', subject: 'OTHER' } }
const WHY = ['--reason', 'because']

describe('the command line', () => {
  const environment = useTestEnvironment()
  const opened: Workbench[] = []
  afterEach(async () => {
    for (const bench of opened.splice(0)) await bench.close()
  })
  const open = async (options: Partial<WorkbenchOptions> = {}) => {
    const databaseUrl = await environment.newDatabase()
    const bench = await openWorkbench({
      databaseUrl,
      storageConnectionString: environment.newStorageAccount(),
      ...options,
    })
    opened.push(bench)
    return bench
  }
  /** With its streams there and nothing planned. */
  const fresh = async (options: Partial<WorkbenchOptions> = {}) => {
    const bench = await open(options)
    await cli(bench, 'streams', 'apply')
    return bench
  }
  const cli = (bench: Workbench, ...argv: string[]) => runCommand(bench.platform, argv)
  const cliWith = (bench: Workbench, options: CommandOptions, ...argv: string[]) =>
    runCommand(bench.platform, argv, options)
  const audited = async (bench: Workbench) =>
    (
      await bench.query<{ line: string }>(
        `select concat_ws(' ', actor, action, subject, after ->> 'reason') as line from ops.audit order by audit_id`,
      )
    ).map(({ line }) => line)
  const ingestId = async (bench: Workbench) =>
    (
      await bench.query<{ id: string }>(
        'select source_ingest_id as id from provenance.source_ingest order by planned_at desc limit 1',
      )
    )[0]?.id ?? ''

  describe('streams', () => {
    test('apply writes the streams of the file, with an audit row where anything changed', async () => {
      const bench = await open()
      expect((await cli(bench, 'streams', 'apply', '--json')).json()).toMatchObject({
        streams: 1,
        written: 1,
        paused: 0,
      })
      expect((await cli(bench, 'streams', 'apply')).out).toMatch(/streams\.json: 1 streams, 0 written, 0 paused\n$/)
      expect(await audited(bench)).toEqual([expect.stringMatching(/^test apply_streams .*streams\.json$/)])
    })

    test('apply names every problem of a file and changes nothing', async () => {
      const bench = await open({ streams: [TWO_YEARS, { ...OTHER, origin: 'soon', every: '0s' }] })
      const ran = await cli(bench, 'streams', 'apply')
      expect(ran).toMatchObject({
        code: 2,
        out: '',
        err: expect.stringContaining('streams[1].origin: expected a date'),
      })
      expect(await bench.query('select count(*) from ingest.stream')).toEqual([{ count: 0 }])
      const path = bench.platform.settings.streamsFile
      await writeFile(path, '{')
      expect(await cli(bench, 'streams', 'apply', path)).toMatchObject({
        code: 2,
        err: expect.stringMatching(/^streams file: expected json/),
      })
      expect((await cli(bench, 'streams', 'apply', '/nowhere.json')).err).toMatch(
        /^streams file: expected to read \/nowhere\.json, got ENOENT/,
      )
    })

    test('list shows each with its place in time and its state', async () => {
      const bench = await fresh({ streams: [TWO_YEARS, OTHER] })
      await cli(bench, 'streams', 'pause', '*OTHER*', '--reason', 'new key')
      expect((await cli(bench, 'streams', 'list')).out).toBe(
        [
          'stream                origin                until                 every  state',
          'alpaca/bars/OTHER/1d  2001-01-01T00:00:00Z  2003-01-01T00:00:00Z  900s   paused: new key',
          'alpaca/bars/SPX/1d    2001-01-01T00:00:00Z  2003-01-01T00:00:00Z  900s   runs',
          '',
        ].join('\n'),
      )
      expect((await cli(bench, 'streams', 'list', SPX, '--json')).json()).toMatchObject([
        { stream: SPX, origin: '2001-01-01T00:00:00Z', everySeconds: 900, paused: false },
      ])
    })

    test('pause and resume say whether anything changed, and leave an audit row only then', async () => {
      const bench = await fresh()
      expect((await cli(bench, 'streams', 'pause', SPX, ...WHY)).out).toBe(`${SPX} paused\n`)
      expect((await cli(bench, 'streams', 'pause', SPX, ...WHY)).out).toBe(`${SPX} was paused already\n`)
      expect((await cli(bench, 'streams', 'resume', SPX, ...WHY, '--json')).json()).toEqual([
        { stream: SPX, changed: true },
      ])
      expect((await audited(bench)).slice(1)).toEqual([
        `test pause_stream ${SPX} because`,
        `test resume_stream ${SPX} because`,
      ])
    })
  })

  describe('run', () => {
    test('ends with 0 once all is published, telling each step on standard error', async () => {
      const bench = await fresh()
      const ran = await cli(bench, 'run', SPX)
      expect(ran).toMatchObject({ code: 0, out: expect.stringContaining('all that is due is published') })
      expect(ran.err.split('\n')).toEqual([
        `${SPX}  2001-01-01T00:00:00Z … 2003-01-01T00:00:00Z  landed`,
        `${SPX}  2001-01-01T00:00:00Z … 2003-01-01T00:00:00Z  published`,
        '',
      ])
    })

    test('with --json prints one document, and each step as a line on standard error', async () => {
      const bench = await fresh()
      const ran = await cli(bench, 'run', SPX, '--json')
      expect(ran.json()).toMatchObject({
        end: 'published',
        streams: [{ stream: SPX, checkpoint: '2003-01-01T00:00:00Z' }],
        left: [],
      })
      for (const line of ran.err.trim().split('\n'))
        expect(JSON.parse(line)).toMatchObject({ event: 'step', stream: SPX })
    })

    test('ends with 1, naming what failed and why', async () => {
      const bench = await fresh({ simulator: { faults: () => ({ kind: 'error', status: 404 }) } })
      const ran = await cli(bench, 'run', SPX)
      expect(ran.code).toBe(1)
      expect(ran.out).toMatch(
        /\nfailed {2}alpaca\/bars\/SPX\/1d {2}2001-01-01T00:00:00Z … 2003-01-01T00:00:00Z {2}ingest [0-9a-f-]{36}: page 0 of ingest .* 404/,
      )
    })

    test('ends with 75 where only the quota is waited for', async () => {
      const bench = await fresh({ simulator: { faults: () => ({ kind: 'throttle', retryAfter: '3600' }) } })
      const ran = await cli(bench, 'run', SPX, '--timeout', '10s')
      expect(ran.code).toBe(75)
      expect(ran.out).toMatch(/next attempt in 3\d\d\d s/)
    })

    test('told to stop it ends with 143, and the same command goes on', async () => {
      const bench = await fresh()
      const stopping = new AbortController()
      const ran = await cliWith(bench, { signal: stopping.signal, onErr: () => stopping.abort() }, 'run', SPX)
      expect(ran).toMatchObject({
        code: 143,
        out: '',
        err: expect.stringMatching(/stopped; the same command goes on from here\n$/),
      })
      expect((await cli(bench, 'run', SPX, '--json')).json()).toMatchObject({
        end: 'published',
        worked: { published: 1 },
      })
    })
  })

  describe('status', () => {
    test('shows rows, checkpoint and head of each stream, and what is missing', async () => {
      const bench = await fresh({ streams: [TWO_YEARS, OTHER] })
      await cli(bench, 'run', SPX)
      expect((await cli(bench, 'status')).out.split('\n').slice(0, 3)).toEqual([
        'stream                rows  checkpoint        head              missing',
        'alpaca/bars/OTHER/1d  0     2001-01-01T00:00  nothing yet       nothing',
        'alpaca/bars/SPX/1d    500   2003-01-01T00:00  2003-01-01T00:00  nothing',
      ])
      expect((await cli(bench, 'status', '--json')).json()).toMatchObject({ ingests: { published: 1 }, alerts: [] })
    })

    test('says why nothing moves: paused or held', async () => {
      const bench = await fresh({ streams: [TWO_YEARS, OTHER] })
      await cli(bench, 'streams', 'pause', SPX, ...WHY)
      await bench.query(`update ingest.stream set held_reason = 'schema changed' where subject = 'OTHER'`)
      const { out } = await cli(bench, 'status')
      expect(out).toMatch(
        /\nalpaca\/bars\/OTHER\/1d .* nothing, held: schema changed\nalpaca\/bars\/SPX\/1d .* nothing, paused: because\n/,
      )
    })

    test('names each hole with its reason, and with --check ends with 1 while an alert is open', async () => {
      const bench = await fresh({ simulator: { faults: () => ({ kind: 'error', status: 404 }) } })
      await cli(bench, 'run', SPX)
      expect(await cli(bench, 'status', '--check')).toMatchObject({ code: 0 })
      await bench.sweep()
      const ran = await cli(bench, 'status', '--check')
      expect(ran.code).toBe(1)
      expect(ran.out).toMatch(
        /hole of alpaca\/bars\/SPX\/1d: 2001-01-01T00:00:00Z … 2003-01-01T00:00:00Z\n {2}failed: .*404.* \(ingest [0-9a-f-]{36}\)/,
      )
      expect(ran.out).toMatch(/ {2}critical failed_ingest alpaca\/bars\/SPX\/1d since /)
      expect((await cli(bench, 'status')).code).toBe(0)
    })
  })

  describe('coverage', () => {
    const holed = async () => {
      const bench = await fresh()
      await cli(bench, 'run', SPX)
      await bench.query(
        `update ingest.stream set published = published - '{[2001-07-01,2002-01-01)}', fetched = fetched - '{[2001-10-01,2002-01-01)}'`,
      )
      return bench
    }

    test('show draws time as a bar, and lists what is fetched, published, accepted and missing', async () => {
      const bench = await holed()
      await cli(bench, 'coverage', 'accept', SPX, '--from', '2001-10-01', '--to', '2001-11-01', ...WHY)
      expect((await cli(bench, 'coverage', 'show', SPX)).out.split('\n')).toEqual([
        SPX,
        `2001-01-01T00:00:00Z ${'#'.repeat(17)}${'+'.repeat(10)}==${'.'.repeat(7)}${'#'.repeat(36)} 2003-01-01T00:00:00Z`,
        '# published   = accepted   + fetched only   . missing',
        '',
        'fetched     2001-01-01T00:00:00Z … 2001-10-01T00:00:00Z, 2002-01-01T00:00:00Z … 2003-01-01T00:00:00Z',
        'published   2001-01-01T00:00:00Z … 2001-07-01T00:00:00Z, 2002-01-01T00:00:00Z … 2003-01-01T00:00:00Z',
        'accepted    2001-10-01T00:00:00Z … 2001-11-01T00:00:00Z',
        'checkpoint  2001-07-01T00:00:00Z',
        'head        2003-01-01T00:00:00Z',
        '',
        'holes:',
        '  2001-07-01T00:00:00Z … 2001-10-01T00:00:00Z  not planned yet',
        '  2001-11-01T00:00:00Z … 2002-01-01T00:00:00Z  not planned yet',
        '',
      ])
      expect((await cli(bench, 'coverage', 'show', SPX, '--json')).json()).toMatchObject({
        stream: SPX,
        end: '2003-01-01T00:00:00Z',
        accepted: [{ lo: '2001-10-01T00:00:00Z', hi: '2001-11-01T00:00:00Z' }],
      })
    })

    test('accept and unaccept move the checkpoint and back, by whom and why is kept', async () => {
      const bench = await holed()
      const range = ['--from', '2001-07-01', '--to', '2002-01-01T00:00:00Z', ...WHY]
      expect((await cli(bench, 'coverage', 'accept', SPX, ...range)).out).toBe(
        `${SPX}: 2001-07-01T00:00:00Z … 2002-01-01T00:00:00Z accepted; its checkpoint is 2003-01-01T00:00:00Z\n`,
      )
      expect((await cli(bench, 'coverage', 'accept', SPX, ...range, '--json')).json()).toMatchObject({ changed: [] })
      expect((await cli(bench, 'coverage', 'unaccept', SPX, ...range, '--json')).json()).toMatchObject({
        checkpoint: '2001-07-01T00:00:00Z',
        changed: [{ lo: '2001-07-01T00:00:00Z', hi: '2002-01-01T00:00:00Z' }],
      })
      expect((await audited(bench)).slice(1)).toEqual([
        `test accept_coverage ${SPX} because`,
        `test unaccept_coverage ${SPX} because`,
      ])
    })

    test('accept refuses what is published with 2, and says what is missing', async () => {
      const bench = await holed()
      const ran = await cli(bench, 'coverage', 'accept', SPX, '--from', '2001-06-01', '--to', '2002-01-01', ...WHY)
      expect(ran).toMatchObject({ code: 2, out: '' })
      expect(ran.err).toBe(
        `coverage of ${SPX}: expected only what is not published, got 2001-06-01T00:00:00Z … 2001-07-01T00:00:00Z, which is; missing is 2001-07-01T00:00:00Z … 2002-01-01T00:00:00Z\n`,
      )
    })
  })

  describe('preview', () => {
    test('shows request, answer and rows; ends with 1 where the answer is no page', async () => {
      const bench = await fresh()
      const ran = await cli(bench, 'preview', SPX, '--from', '2001-01-02', '--to', '2001-01-09')
      expect(ran.code).toBe(0)
      expect(ran.out).toMatch(
        /\nGET http:.*\n {2}200 application\/json.*, 5 records\n\n5 records: 5 rows, 0 rejects, 0 outside the window\n\nts .*\n2001-01-02T00:00:00Z {2}2001-01-02 /,
      )
      bench.simulator.setFaults(() => ({ kind: 'html' }))
      expect(await cli(bench, 'preview', SPX, '--json')).toMatchObject({ code: 1 })
    })

    test('ends with 75 where the provider says to slow down', async () => {
      const bench = await fresh({ simulator: { faults: () => ({ kind: 'throttle', retryAfter: '60' }) } })
      expect(await cli(bench, 'preview', SPX)).toMatchObject({
        code: 75,
        err: expect.stringMatching(/^alpaca: expected an answer, was told to slow down for 60000 ms/),
      })
    })
  })

  describe('quarantine', () => {
    const failed = async () => {
      const bench = await fresh({ simulator: { faults: [{ kind: 'error', status: 404 }] } })
      await cli(bench, 'run', SPX)
      return { bench, id: await ingestId(bench) }
    }

    test('list shows what failed, why, and what a replay would do', async () => {
      const { bench, id } = await failed()
      const { out } = await cli(bench, 'quarantine', 'list')
      expect(out).toMatch(
        new RegExp(
          `^${id}  ${SPX}  2001-01-01T00:00:00Z … 2003-01-01T00:00:00Z\n  failed since .*, lane live; a replay begins anew\n  PermanentError: .*404`,
        ),
      )
      expect((await cli(bench, 'quarantine', 'list', SPX, '--json')).json()).toMatchObject([
        { sourceIngestId: id, landed: false },
      ])
    })

    test.each([
      ['an id', (id: string) => [id]],
      ['all of a stream', () => ['--stream', 'alpaca/*', '--all']],
    ])('replay of %s has it tried again', async (_what, which) => {
      const { bench, id } = await failed()
      const ran = await cli(bench, 'quarantine', 'replay', ...which(id), ...WHY)
      expect(ran).toMatchObject({ code: 0, out: `${id}  ${SPX}  is planned again\n` })
      expect((await audited(bench)).slice(1)).toEqual([`test replay_ingest ${id} because`])
      expect((await cli(bench, 'run', SPX)).code).toBe(0)
      expect((await cli(bench, 'quarantine', 'list')).out).toBe('nothing waits\n')
      expect(await cli(bench, 'quarantine', 'replay', id, ...WHY)).toMatchObject({
        code: 0,
        out: `${id}  ${SPX}  nothing to replay: is published\n`,
      })
    })

    test('replay of one that may not be ends with 1', async () => {
      const { bench, id } = await failed()
      await bench.query(`update provenance.source_ingest set state = 'cancelled'`)
      expect(await cli(bench, 'quarantine', 'replay', id, ...WHY)).toMatchObject({
        code: 1,
        out: `${id}  ${SPX}  not replayed: expected failed or quarantined, got cancelled\n`,
      })
    })

    test.each([
      [[], 'got neither'],
      [['--all'], 'got --all'],
      [['--stream', SPX], 'got --stream'],
      [['00000000-0000-7000-8000-000000000000', '--all'], 'got 1 ids and --all'],
      [['nothing'], 'ingest: expected an id such as status shows it, got "nothing"'],
      [
        ['00000000-0000-7000-8000-000000000000'],
        'ingest: expected one of this database, got 00000000-0000-7000-8000-000000000000',
      ],
    ])('replay %j is refused with 2', async (argv, problem) => {
      const bench = await fresh()
      expect(await cli(bench, 'quarantine', 'replay', ...argv, ...WHY)).toMatchObject({
        code: 2,
        err: expect.stringContaining(problem),
      })
    })
  })

  describe('ingest', () => {
    test('cancel takes one back, once', async () => {
      const bench = await fresh()
      await bench.plan()
      const id = await ingestId(bench)
      expect((await cli(bench, 'ingest', 'cancel', id, ...WHY)).out).toBe(`${id}  ${SPX}  is cancelled\n`)
      expect((await cli(bench, 'ingest', 'cancel', id, ...WHY, '--json')).json()).toEqual([
        { sourceIngestId: id, stream: SPX, state: 'cancelled', changed: false },
      ])
      expect(await bench.query('select state, error_summary as why from provenance.source_ingest')).toEqual([
        { state: 'cancelled', why: 'cancelled by test: because' },
      ])
    })
  })

  describe('state', () => {
    const paused = async () => {
      const bench = await fresh()
      await cli(bench, 'run', SPX)
      await cli(bench, 'streams', 'pause', SPX, ...WHY)
      return bench
    }
    const reset = ['state', 'reset', SPX, '--from', '2002-01-01', ...WHY]

    test('show says what is remembered of a stream', async () => {
      const bench = await paused()
      const { out } = await cli(bench, 'state', 'show', SPX)
      expect(out).toContain('paused        because\n')
      expect(out).toContain('checkpoint    2003-01-01T00:00:00Z\n')
      expect((await cli(bench, 'state', 'show', SPX, '--json')).json()).toMatchObject({
        stream: SPX,
        plannedUntil: '2003-01-01T00:00:00Z',
      })
    })

    test('reset shows the difference and does it only with --yes', async () => {
      const bench = await paused()
      const shown = await cli(bench, ...reset)
      expect(shown).toMatchObject({ code: 2, err: 'nothing was changed: expected --yes to do it, got none\n' })
      expect(shown.out.split('\n')).toEqual([
        SPX,
        '  fetched     - 2002-01-01T00:00:00Z … 2003-01-01T00:00:00Z',
        '  published   - 2002-01-01T00:00:00Z … 2003-01-01T00:00:00Z',
        '  checkpoint  2003-01-01T00:00:00Z becomes 2002-01-01T00:00:00Z',
        'not done yet',
        '',
      ])
      expect((await cli(bench, ...reset, '--yes', '--json')).json()).toMatchObject({
        applied: true,
        after: { checkpoint: '2002-01-01T00:00:00Z' },
      })
      expect(await cli(bench, ...reset, '--yes')).toMatchObject({
        code: 0,
        out: expect.stringContaining('there is nothing to reset'),
      })
    })

    test('what was reset is read and merged again: the same rows, none twice', async () => {
      const bench = await paused()
      await cli(bench, ...reset, '--yes')
      await cli(bench, 'streams', 'resume', SPX, ...WHY)
      expect((await cli(bench, 'run', SPX, '--json')).json()).toMatchObject({ end: 'published', planned: 1 })
      expect(await bench.query('select sum(rows)::bigint as rows from curated.partition')).toEqual([{ rows: 500 }])
    })
  })

  describe('lease', () => {
    test('list names the worker, break ends its hold', async () => {
      const bench = await fresh()
      await bench.plan()
      const id = await ingestId(bench)
      expect((await cli(bench, 'lease', 'list')).out).toBe('no worker holds an ingest\n')
      await bench.query(
        `update provenance.source_ingest set state = 'landing', epoch = 1, claimed_by = 'gone/1', lease_expires_at = now() + interval '1 hour'`,
      )
      expect((await cli(bench, 'lease', 'list', '--json')).json()).toMatchObject([
        { sourceIngestId: id, claimedBy: 'gone/1', leaseExpired: false },
      ])
      expect((await cli(bench, 'lease', 'break', id, ...WHY)).out).toBe(
        `${id}  taken from gone/1, epoch 2; the next sweep takes it over\n`,
      )
      expect((await cli(bench, 'lease', 'list')).out).toContain('(expired: the sweep takes it)')
      expect((await cli(bench, 'run', SPX)).code).toBe(0)
    })
  })

  describe('doctor', () => {
    test('ends with 1 where a check fails, and says what to do', async () => {
      const bench = await fresh()
      const ran = await cliWith(bench, { env: { PLAN_SCHEDULE: 'every day' } }, 'doctor')
      expect(ran.code).toBe(1)
      expect(ran.out).toMatch(
        /\nfail {2}settings: PLAN_SCHEDULE: expected an ncrontab expression of six fields, got "every day": 2 fields .*\n {6}set PLAN_SCHEDULE to one such as "0 \*\/5 \* \* \* \*"/,
      )
      const shape = z.object({
        failed: z.number(),
        checks: z.array(z.object({ name: z.string(), status: z.string(), todo: z.string().nullable() })),
      })
      expect(shape.parse((await cliWith(bench, {}, 'doctor', '--json')).json()).checks.length).toBeGreaterThan(15)
    })
  })

  test.each([
    [['run'], /^error: missing required argument 'stream'/],
    [
      ['run', 'nothing'],
      /^stream: expected the name of a stream, \* for any text, got "nothing"; there are alpaca\/bars\/SPX\/1d/,
    ],
    [
      ['run', SPX, '--timeout', 'soon'],
      /option '--timeout <duration>' argument 'soon' is invalid\. expected a duration such as 90s/,
    ],
    [['run', SPX, '--fast'], /^error: unknown option '--fast'/],
    [
      ['coverage', 'accept', SPX, '--from', '2021-02-30', '--to', '2021-03-01', ...WHY],
      /argument '2021-02-30' is invalid\. expected a date/,
    ],
    [
      ['coverage', 'accept', SPX, '--from', '2021-02-01', '--to', '2021-03-01'],
      /^error: required option '--reason <text>' not specified/,
    ],
    [['coverage', 'show', SPX, 'more'], /^error: too many arguments/],
    [['preview', SPX, '--pages', '0'], /argument '0' is invalid\. expected a whole number from 1 on/],
    [['state', 'reset', SPX, ...WHY], /^error: required option '--from <instant>' not specified/],
    [['quarantine', 'replay', '--all'], /^error: required option '--reason <text>' not specified/],
    [['lease', 'break', ...WHY], /^error: missing required argument 'ingest-id'/],
    [['nothing'], /^error: unknown command 'nothing'/],
  ])('%j is refused with 2 and a word on what was expected', async (argv, problem) => {
    const bench = await fresh()
    expect(await cli(bench, ...argv)).toMatchObject({ code: 2, out: '', err: expect.stringMatching(problem) })
  })

  test.each([
    'run',
    'status',
    'preview',
    'doctor',
    'streams list',
    'streams apply',
    'streams pause',
    'streams resume',
    'coverage show',
    'coverage accept',
    'coverage unaccept',
    'quarantine list',
    'quarantine replay',
    'ingest cancel',
    'state show',
    'state reset',
    'lease list',
    'lease break',
  ])('the help of %s ends with examples that begin with it', async (command) => {
    const bench = await open()
    const { code, out } = await cli(bench, ...command.split(' '), '--help')
    expect(code).toBe(0)
    expect(out).toMatch(new RegExp(`\nExamples:\n {2}tributary ${command}`))
  })
})
