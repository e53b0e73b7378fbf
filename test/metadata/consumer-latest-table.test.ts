import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Table, TableRow } from '../../shared/azure/tables.ts'
import { partitionKeyOf, rowKeyOf } from '../../shared/metadata/consumers/latest-key.ts'
import { latestTableConsumer } from '../../shared/metadata/consumers/latest-table.ts'
import { restartFeed } from '../../shared/metadata/feed/feed.ts'
import { COUNTS, counted, TARGET, volume } from './fact.ts'
import { useFeed } from './feed-bench.ts'

const BY = { actor: 'ada', reason: 'test' }

describe('the table of latest records', () => {
  const feed = useFeed()
  let table: Table
  beforeAll(async () => {
    table = feed.table()
    await table.ensure()
  })
  beforeEach(() => feed.clear())

  // Each test has a target of its own: rows stay.
  const target = (name: string) => ({ ...TARGET, table: name })
  const rowsOf = (name: string, tenant = 'ours') =>
    table.rows(partitionKeyOf({ tenant, sourceId: TARGET.sourceId, schema: TARGET.schema, table: name }), 100)
  const bodiesOf = async (name: string) =>
    (await rowsOf(name)).map(({ values }) => JSON.parse(String(values.body)).payload.records)
  const follow = () => feed.run(latestTableConsumer({ table }))

  test('has a row for each series, with the whole record', async () => {
    const name = 'whole/1d'
    await feed.store([
      volume(0, { target: target(name) }),
      volume(1, { target: target(name) }),
      volume(0, { target: target(name), scope: '2024-01/05' }),
    ])
    await feed.store([volume(0, { target: target(name) })], 'theirs')
    expect(await follow()).toBe('done')
    const { records } = await feed.read()
    const [whole, slice] = await rowsOf(name)
    expect([whole?.partitionKey, whole?.rowKey, slice?.rowKey]).toEqual([
      'ours|alpaca|bars|whole~2F1d',
      'ingestion_volume|',
      'ingestion_volume|2024-01~2F05',
    ])
    const record = records[1]?.record
    expect(whole?.values).toEqual({
      tenant: 'ours',
      ...target(name),
      kind: 'ingestion_volume',
      scope: '',
      feedStartedAt: expect.stringMatching(/^\d{4}-.*\.\d{6}Z$/),
      changeNo: 1n,
      recordId: record?.recordId,
      kindVersion: '1.0',
      revision: 0,
      producerId: 'test.v1',
      effectiveAt: '2024-01-03T00:00:00.000000Z',
      storedAt: record?.storedAt,
      runId: 'run-1',
      bodyOmitted: false,
      body: JSON.stringify(record),
    })
    expect(await rowsOf(name, 'theirs')).toHaveLength(1)
  })

  test('says what PostgreSQL says now, whatever the feed says', async () => {
    await feed.store([volume(0, { target: target('now'), payload: counted(1) })])
    const old = (await feed.read()).records
    await feed.store([volume(1, { target: target('now'), payload: counted(2) })])
    const { readAt } = await feed.read()
    const context = { db: feed.db(), readAt, signal: new AbortController().signal }
    await latestTableConsumer({ table }).consume(old, context)
    expect(await bodiesOf('now')).toEqual([2])
  })

  test.each(['new', 'there'])('is not taken back by a writer that read long ago, where its row is %s', async (how) => {
    const name = `zombie-${how}`
    await feed.store([volume(0, { target: target(name), payload: counted(0) })])
    if (how === 'there') await follow()
    await feed.store([volume(1, { target: target(name), payload: counted(1) })])
    let late: Promise<string> | undefined
    const slow = feed.table(async (operation, run) => {
      // Has read PostgreSQL, and compared with the row that was there then.
      if (operation.action !== 'write' || late !== undefined) return run()
      await feed.store([volume(2, { target: target(name), payload: counted(2) })])
      await feed.expireLeases()
      late = follow()
      await late
      return run()
    })
    expect(await feed.run(latestTableConsumer({ table: slow }))).toBe('lost')
    expect(await late).toBe('done')
    expect(await bodiesOf(name)).toEqual([2])
  })

  test('marks a body that is too large for a row, and keeps the rest', async () => {
    const name = 'large'
    await feed.store([
      volume(0, { target: target(name), payload: { ...COUNTS, filter: { text: 'ä'.repeat(30_000) } } }),
    ])
    expect(await follow()).toBe('done')
    const [row] = await rowsOf(name)
    expect(row?.values).toMatchObject({ bodyOmitted: true, runId: 'run-0' })
    expect(row?.values).not.toHaveProperty('body')
  })

  test('after a restore says what the restored database says, though changes are counted from there again', async () => {
    const name = 'restored'
    for (const day of [0, 1, 2]) await feed.store([volume(day, { target: target(name), payload: counted(day) })])
    await follow()
    expect((await rowsOf(name))[0]?.values.changeNo).toBe(3n)
    // As it was after the first of them.
    await feed.query(`delete from metadata.record where run_id <> 'run-0'`)
    await feed.query(`
      update metadata.latest l
         set change_no = 1, record_id = r.record_id, effective_at = r.effective_at, ordered_at = r.ordered_at
        from metadata.record r`)
    await restartFeed(feed.db(), BY)
    await feed.settle()
    await follow()
    expect((await rowsOf(name))[0]?.values).toMatchObject({ changeNo: 1n, runId: 'run-0' })
  })

  test('is the same in whatever order records came, and however often', async () => {
    const facts = Array.from({ length: 12 }, (_, day) =>
      volume(day % 6, { target: target(`order-${day % 2}`), payload: counted(day % 6), scope: day % 3 ? '' : 's' }),
    )
    const contents = async () => {
      const rows: TableRow[] = [...(await rowsOf('order-0')), ...(await rowsOf('order-1'))]
      return rows.map(({ partitionKey, rowKey, values }) => [partitionKey, rowKey, values.effectiveAt, values.runId])
    }
    const states: unknown[] = []
    for (const order of [facts, facts.toReversed(), [...facts.slice(5), ...facts]]) {
      await feed.clear()
      await restartFeed(feed.db(), BY)
      for (const fact of order) await feed.bench.write([fact])
      await feed.bench.dispatch({ batchMax: 2 })
      await feed.settle()
      await feed.run(latestTableConsumer({ table }), { batchMax: 3 })
      states.push(await contents())
    }
    expect(states[0]).toHaveLength(4)
    expect([states[1], states[2]]).toEqual([states[0], states[0]])
  })
})

describe('keys of the table of latest records', () => {
  const series = (fields: object = {}) => ({ tenant: 'ours', sourceId: 's', schema: 'b', table: 't', ...fields })
  // As a reader would, without our code.
  const parts = (key: string) => key.split('|').map((part) => decodeURIComponent(part.replaceAll('~', '%')))

  test.each(['a/b', 'a\\b', 'a#b?', '100%', 'a|b', 'a~2Fb', 'ä€😀', "it's +1", ' ', 'a\tb'])(
    'can be read back: %j',
    (table) => {
      const key = partitionKeyOf(series({ table }))
      expect(key).toMatch(/^[A-Za-z0-9_.:=@~|-]+$/)
      expect(parts(key)).toEqual(['ours', 's', 'b', table])
      expect(parts(rowKeyOf({ kind: 'recon_result', scope: table }))).toEqual(['recon_result', table])
    },
  )

  test('tell apart what only looks the same when it is joined', () => {
    expect(partitionKeyOf(series({ schema: 'a|b', table: 'c' }))).not.toBe(
      partitionKeyOf(series({ schema: 'a', table: 'b|c' })),
    )
  })

  test('are hashed above 400 characters: of any length at most, and still of one series each', () => {
    const table = (last: string) =>
      partitionKeyOf(series({ schema: 'x'.repeat(256), table: `${'y'.repeat(255)}${last}` }))
    expect(partitionKeyOf(series({ schema: 'x'.repeat(256), table: 'y'.repeat(136) }))).toHaveLength(400)
    expect([table('1').length, table('1') === table('2'), table('1').includes('~~')]).toEqual([366, false, true])
    expect(partitionKeyOf(series({ table: '€'.repeat(256) })).length).toBe(366)
  })
})
