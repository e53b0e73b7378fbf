import { beforeAll, describe, expect, test } from 'vitest'
import type { MetadataLinks, NewMetadataRecord } from '../../shared/metadata/model/record.ts'
import { TARGET, volume } from './fact.ts'
import { useService } from './service-bench.ts'

const target = (table: string) => ({ ...TARGET, table })
const run = (runId: string, links: MetadataLinks): NewMetadataRecord =>
  volume(0, { target: target(runId), context: { namespace: 'test', runId }, links })

type Node = { runId?: string; target?: { table: string }; distance: number }
type Edge = { from: string; to: string; rel: string }

describe('lineage over HTTP', () => {
  const bench = useService()
  const { ask } = bench
  const names = ({ nodes }: { nodes: Node[] }) =>
    nodes.map(({ runId, target, distance }) => `${distance} ${runId ?? target?.table}`).sort()
  const read = async (query: string) => (await ask('GET', `/lineage?${query}`)).body
  const of = (table: string) => `sourceId=alpaca&schema=bars&table=${table}`

  // raw → first → clean → second → report → third → mart
  beforeAll(async () => {
    await bench.ours.bulkStore([
      run('first', { inputs: [target('raw')], outputs: [target('clean')], parent: 'backfill' }),
      run('second', { inputs: [target('clean')], outputs: [target('report')], baselineRuns: ['first'] }),
      run('third', { inputs: [target('report')], outputs: [target('mart')] }),
      run('aside', { inputs: [target('raw')], outputs: [target('other')] }),
    ])
  })

  test('of a target goes up through the runs that made it, as far as is asked', async () => {
    expect(names(await read(`${of('report')}&direction=up&depth=1`))).toEqual(['0 report', '1 second'])
    expect(names(await read(`${of('report')}&direction=up&depth=2`))).toEqual([
      '0 report',
      '1 second',
      '2 clean',
      '2 first',
    ])
    expect(names(await read(`${of('report')}&direction=up`))).toEqual([
      '0 report',
      '1 second',
      '2 clean',
      '2 first',
      '3 backfill',
      '3 raw',
    ])
  })

  test('of a run goes down to what it made, whom it was a baseline of, and what those made', async () => {
    expect(names(await read('runId=first&direction=down&depth=2'))).toEqual([
      '0 first',
      '1 clean',
      '1 second',
      '2 report',
    ])
    expect(names(await read('runId=backfill&direction=down&depth=1'))).toEqual(['0 backfill', '1 first'])
  })

  test('both ways never turns round: what else was made of an input is no relative', async () => {
    const both = names(await read('runId=first'))
    expect(both).toContain('1 raw')
    expect(both).not.toContain('2 aside')
  })

  test('edges lead the way of the data and name the record that says so', async () => {
    const { edges, nodes, truncated } = await read('runId=second&depth=1')
    const named = new Map(nodes.map((node: Node & { id: string }) => [node.id, node.runId ?? node.target?.table]))
    const told = edges.map(({ from, to, rel }: Edge) => `${named.get(from)} ${rel} ${named.get(to)}`).sort()
    expect(told).toEqual(['clean input second', 'first baseline second', 'second output report'])
    expect((await ask('GET', `/records/${edges[0].recordId}`)).body.context.runId).toBe('second')
    expect(truncated).toBe(false)
  })

  test('a target that many runs made is answered with 500 nodes, and that there are more', async () => {
    const runs = Array.from({ length: 600 }, (_, n) => run(`many-${n}`, { outputs: [target('hub')] }))
    await bench.ours.bulkStore(runs)
    const { nodes, truncated } = await read(`${of('hub')}&direction=up`)
    expect([nodes.length, truncated]).toEqual([500, true])
  })

  test('a run without links is known and stands alone', async () => {
    await bench.ours.store(volume(0, { context: { namespace: 'test', runId: 'alone' } }))
    expect(await read('runId=alone')).toMatchObject({ nodes: [{ runId: 'alone' }], edges: [], truncated: false })
  })

  test('a step that takes longer than two seconds is given up, and what was found is answered', async () => {
    const { nodes, truncated } = await bench.db.transaction(async (tx) => {
      await tx.query({ name: 'test lock', text: 'lock table metadata.link in access exclusive mode' })
      return read(`${of('report')}&direction=up`)
    })
    expect([names({ nodes }), truncated]).toEqual([['0 report'], true])
  })

  test('no step begins when two seconds are over', async () => {
    bench.setHook(async (operation, run) => {
      if (operation.subject === 'metadata_lineage_up') await bench.query('select pg_sleep(2)')
      return run()
    })
    const { nodes, truncated } = await read(`${of('report')}&direction=up`)
    bench.setHook((_operation, run) => run())
    expect([names({ nodes }), truncated]).toEqual([['0 report', '1 second'], true])
  })
})
