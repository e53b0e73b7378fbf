import { describe, expect, test } from 'vitest'
import { compareSamples, parseSamples } from '../../shared/metadata/history/compare-samples.ts'
import { volume } from './fact.ts'
import { at, file, line, manifest, ORDERS, TARGET, useImport, window } from './import-bench.ts'

describe('history import', () => {
  const bench = useImport()
  const latest = async (kind: string, target = TARGET) =>
    (await bench.repository.latest({ target, kind }))?.record ?? null

  const progress = file(
    'progress.jsonl',
    line('a', 'started', at(8)),
    line('a', 'completed', at(8, '00:01:00'), { rows: 10, bytes: 100, rejected: 1 }),
    line('b', 'started', at(8)),
    line('b', 'completed', at(8, '00:02:00'), { rows: 5, bytes: 50 }),
  )
  const slices = file(
    'manifest.json',
    manifest(
      [
        { slice: 'a', ...window(1, 2) },
        { slice: 'b', ...window(2, 4) },
      ],
      {
        filter: { region: 'eu' },
        parent_run_id: 'p1',
        job_id: 'nightly',
      },
    ),
  )

  test('sums the slices of a run into one volume of the hull of their windows, with its sources', async () => {
    const summary = await bench.run([progress, slices])
    expect(summary).toMatchObject({
      files: 2,
      taken: { progress: 4, manifest: 1 },
      problems: { count: 0 },
      events: { stored: 6, repeated: 0, replaced: 0 },
      runs: { merged: 1, live: { count: 0 }, waiting: { count: 0 } },
      records: { stored: 2, revised: 0, unchanged: 0, refused: { count: 0 } },
    })
    expect(await latest('ingestion_volume')).toMatchObject({
      target: TARGET,
      context: { namespace: 'history', jobId: 'nightly', runId: 'r1', environment: { tenant: 'ours' } },
      window: { start: '2024-01-01T00:00:00.000000Z', end: '2024-01-04T00:00:00.000000Z' },
      payload: { records: 15, inserted: 14, rejected: 1, bytes: 150, filter: { region: 'eu' } },
      producerId: 'import.v1',
      quality: 'backfilled',
      links: { outputs: [TARGET], parent: 'p1' },
      extras: { slices: 2, original_source: ['manifest.json', 'progress.jsonl'] },
    })
  })

  test('tells from a progress log how the run went', async () => {
    await bench.run([
      progress,
      slices,
      file(
        'late.jsonl',
        line('b', 'retried', at(8, '00:03:00')),
        line('b', 'failed', at(8, '00:04:00'), { error: 'E' }),
      ),
    ])
    expect(await latest('ingestion_runtime')).toMatchObject({
      outcome: 'fail',
      payload: {
        state: 'failed',
        startedAt: '2024-01-08T00:00:00.000000Z',
        finishedAt: '2024-01-08T00:04:00.000000Z',
        durationMs: 240_000,
        claims: 2,
        retries: 1,
        error: { class: 'failed', summary: 'E' },
      },
    })
  })

  test('counts a slice once, as it was told of last, however many logs and manifests tell of it', async () => {
    const counted = [
      { slice: 'a', ...window(1, 2), rows: 12 },
      { slice: 'b', ...window(2, 4) },
    ]
    await bench.run([progress, slices, file('again.json', manifest(counted, { created_at: at(10) }))])
    expect((await latest('ingestion_volume'))?.payload.records).toBe(12 + 5)
  })

  test('takes what was told of a whole run only where no slice of it was told of', async () => {
    const whole = { run_id: 'r1', event: 'completed', ts: at(8, '01:00:00'), rows: 99, ...ORDERS, ...window(1, 4) }
    await bench.run([file('whole.jsonl', whole)])
    expect((await latest('ingestion_volume'))?.payload.records).toBe(99)
    await bench.run([progress, slices])
    expect((await latest('ingestion_volume'))?.payload.records).toBe(15)
  })

  test('a repetition stores nothing', async () => {
    await bench.run([progress, slices])
    const before = await bench.state()
    const again = await bench.run([slices, progress, { ...progress, name: 'zz-copy.jsonl' }])
    expect(again.events).toEqual({ stored: 0, repeated: 10, replaced: 0 })
    expect(again.records).toMatchObject({ stored: 0, revised: 0, unchanged: 2 })
    expect(await bench.state()).toEqual(before)
  })

  test('what is found later is the next revision of the same fact, also when its window grows', async () => {
    await bench.run([progress, slices])
    const more = file('more.json', manifest([{ slice: 'c', ...window(4, 6), rows: 7 }]))
    expect((await bench.run([more])).records).toMatchObject({ stored: 0, revised: 1 })
    expect(await latest('ingestion_volume')).toMatchObject({
      revision: 1,
      window: { start: '2024-01-01T00:00:00.000000Z', end: '2024-01-06T00:00:00.000000Z' },
      payload: { records: 22 },
    })
    expect((await bench.repository.query({ kind: 'ingestion_volume', runId: 'r1' })).records).toHaveLength(2)
  })

  test('finds the next revision where the records before are compacted', async () => {
    await bench.run([progress, slices])
    await bench.query('with l as (delete from metadata.latest) delete from metadata.record')
    const more = file('more.json', manifest([{ slice: 'c', ...window(4, 6), rows: 7 }]))
    expect((await bench.run([more])).records).toMatchObject({ stored: 0, revised: 1, refused: { count: 0 } })
    expect((await latest('ingestion_volume'))?.revision).toBe(1)
  })

  test('leaves a run alone that another producer told', async () => {
    await bench.repository.store(volume(1, { context: { namespace: 'ingest', runId: 'r1' } }))
    const summary = await bench.run([
      progress,
      slices,
      file('r2.json', manifest([{ slice: 'a', ...window(1, 2), rows: 1 }], { run_id: 'r2' })),
    ])
    expect(summary.runs).toMatchObject({ merged: 1, live: { count: 1, first: ['r1'] } })
    expect((await bench.repository.query({ runId: 'r1' })).records.map(({ producerId }) => producerId)).toEqual([
      'test.v1',
    ])
    expect((await latest('ingestion_volume'))?.context.runId).toBe('r2')
  })

  test('leaves a run alone of which only the links are left: its records are compacted', async () => {
    const links = { outputs: [TARGET] }
    await bench.repository.store(volume(1, { context: { namespace: 'ingest', runId: 'r1' }, links }))
    await bench.query('with l as (delete from metadata.latest) delete from metadata.record')
    expect((await bench.run([progress, slices])).runs.live.first).toEqual(['r1'])
    expect(await latest('ingestion_volume')).toBeNull()
  })

  test('a run waits until its table and window are known', async () => {
    const alone = await bench.run([progress])
    expect([alone.runs.waiting, alone.records.stored]).toEqual([{ count: 1, first: ['r1'] }, 0])
    const named = await bench.run([file('named.jsonl', { ...line('a', 'started', at(7)), ...ORDERS })])
    expect(named.runs.waiting.first).toEqual(['r1'])
    expect(await latest('ingestion_volume')).toBeNull()
    expect((await bench.run([slices])).runs.waiting.count).toBe(0)
    expect((await latest('ingestion_volume'))?.payload.records).toBe(15)
  })

  test('tells guard decisions, and in the volume of their run', async () => {
    const report = { run_id: 'r1', ...ORDERS, decision: 'warn', reasons: ['late column'], decided_at: at(7) }
    await bench.run([progress, slices, file('guard.json', JSON.stringify(report, null, 2))])
    expect(await latest('guard_decision')).toMatchObject({ outcome: 'warn', payload: { reasons: ['late column'] } })
    expect((await latest('ingestion_volume'))?.extras?.guard).toEqual({ outcome: 'warn', reasons: ['late column'] })
  })

  test('tells each check of a run by itself, the last of each', async () => {
    const check = (metric: string, outcome: string, day: number, scope = '') => ({
      run_id: 'q1',
      ...ORDERS,
      check: 'source_vs_curated',
      metric,
      scope,
      outcome,
      observed: day,
      expected: 1,
      checked_at: at(day),
      baseline_runs: ['r1'],
    })
    const outputs = [
      check('rows', 'fail', 5),
      check('rows', 'pass', 6),
      check('keys', 'warn', 4),
      check('rows', 'fail', 6, '2024-01'),
    ]
    expect((await bench.run([file('recon.json', JSON.stringify(outputs, null, 1))])).records.stored).toBe(3)
    expect(await latest('recon_result')).toMatchObject({
      outcome: 'pass',
      payload: { observed: 6 },
      links: { baselineRuns: ['r1'] },
    })
  })

  test('tells every catalog snapshot, and lists the tables that have no volume', async () => {
    const snapshot = (day: number, ...names: readonly string[]) => ({
      ...ORDERS,
      place: 'postgres',
      taken_at: at(day),
      columns: names.map((name) => ({ name, type: 'text' })),
    })
    const summary = await bench.run([file('catalog.jsonl', snapshot(3, 'id', 'name'), snapshot(2, 'id'))])
    expect(summary.records.stored).toBe(2)
    expect((await latest('schema_snapshot'))?.payload.columns).toHaveLength(2)
    expect(summary.tablesWithoutHistory).toEqual({ count: 1, first: [TARGET] })
    expect((await bench.run([progress, slices])).tablesWithoutHistory.count).toBe(0)
  })

  test('a dry run reads everything and writes nothing', async () => {
    const summary = await bench.run([progress, slices, file('bad.jsonl', '{')], { dryRun: true })
    expect(summary).toMatchObject({
      dryRun: true,
      files: 3,
      taken: { progress: 4, manifest: 1 },
      problems: { count: 1 },
    })
    const rows = await bench.query('select from metadata.import_event union all select from metadata.record')
    expect(rows).toHaveLength(0)
  })

  test('a bad line stops nothing and is told with its file, line and reason', async () => {
    const summary = await bench.run([
      file(
        'log.jsonl',
        line('a', 'completed', at(8), { rows: 1 }),
        '{"run_id": "r1", "sl',
        '{"hello": 1}',
        7,
        line('b', 'completed', at(8)),
      ),
      slices,
    ])
    expect(summary.problems).toEqual({
      count: 4,
      first: [
        { file: 'log.jsonl', line: 2, reason: 'expected JSON, got another text' },
        {
          file: 'log.jsonl',
          line: 3,
          reason: 'expected a property of an artifact: event and ts, slices, decision, check or columns, got hello',
        },
        { file: 'log.jsonl', line: 4, reason: 'expected a JSON object, got 7' },
        { file: 'log.jsonl', line: 5, reason: 'progress/rows: expected the rows of what was completed' },
      ],
    })
    expect((await latest('ingestion_volume'))?.payload.records).toBe(1)
  })

  test('what no record may say becomes no event: it would spoil its run for ever', async () => {
    const lines = [
      line('a', 'started', '2999-01-01T00:00:00Z'),
      line('a', 'started', at(1), { window_start: at(1), window_end: '2999-01-01T00:00:00Z' }),
      line('\u0000', 'started', at(1)),
      line('a', 'completed', at(1), { rows: 1, inserted: 2 }),
      line('a', 'completed', at(1), { rows: 1e300 }),
    ]
    const summary = await bench.run([file('log.jsonl', ...lines, progress.text), slices])
    expect([summary.problems.count, summary.records.stored, summary.records.refused.count]).toEqual([5, 2, 0])
  })

  test('runs of another tenant are other runs', async () => {
    const theirs = bench.open(undefined, 'theirs')
    try {
      await bench.run([progress, slices])
      const summary = await bench.run([slices], { ...theirs, tenant: 'theirs' })
      expect(summary).toMatchObject({ events: { stored: 2 }, records: { stored: 0 } })
      expect(await theirs.repository.latest({ target: TARGET, kind: 'ingestion_volume' })).toBeNull()
    } finally {
      await theirs.close()
    }
  })

  test('a file that cannot be read is a mistake of the caller', async () => {
    await expect(bench.run([{ name: 'gone.jsonl', path: '/nowhere/gone.jsonl' }])).rejects.toThrow(
      'file gone.jsonl: expected',
    )
  })

  test('samples of another system are compared, each fact once', async () => {
    await bench.run([progress, slices])
    await bench.run([file('more.json', manifest([{ slice: 'c', ...window(4, 6), rows: 7, bytes: 1 }]))])
    const csv = [
      'source,schema,table,from,to,records,runs,until,bytes',
      `crm,sales,orders,${at(1)},${at(6)},22,1,${at(6)},151`,
      `crm,sales,"orders",${at(1)},${at(6)},20,,,`,
      `crm,sales,orders,${at(1)},${at(5)},22,1,${at(6)},`,
    ].join('\r\n')
    const compared = await compareSamples({ repository: bench.repository, samples: parseSamples(csv) })
    expect(compared.map(({ differences }) => differences)).toEqual([
      [],
      [{ figure: 'records', expected: 20, found: 22 }],
      [
        { figure: 'records', expected: 22, found: 0 },
        { figure: 'runs', expected: 1, found: 0 },
        { figure: 'until', expected: '2024-01-06T00:00:00.000000Z', found: null },
      ],
    ])
  })

  test('samples that are none are told all at once', () => {
    const rows = [
      { ...ORDERS, from: at(2), to: at(1) },
      { ...ORDERS, from: 'x', to: at(1), rows: 1 },
    ]
    expect(() => parseSamples(JSON.stringify(rows))).toThrow(
      'sample 1/to: expected it after from\nsample 2/from: expected an RFC 3339 instant\nsample 2/rows: expected no such property',
    )
  })

  test('two imports of one run at once store it once', async () => {
    const other = bench.open()
    try {
      const more = file('more.json', manifest([{ slice: 'c', ...window(4, 6), rows: 7 }]))
      await bench.run([slices])
      await Promise.all([
        bench.run([progress]),
        bench.run([more], other),
        bench.run([progress, more]),
        bench.run([more, progress], other),
      ])
      expect(await bench.query('select from metadata.reject')).toHaveLength(0)
      expect((await latest('ingestion_volume'))?.payload.records).toBe(22)
    } finally {
      await other.close()
    }
  })
})
