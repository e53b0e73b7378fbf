import { beforeEach, describe, expect, test } from 'vitest'
import {
  listMetadataRejects,
  replayMetadataRejects,
  waiveMetadataRejects,
} from '../../shared/metadata/outbox/rejects.ts'
import { useDispatch } from './dispatch-bench.ts'
import { counted, volume } from './fact.ts'

const ALL = { tenant: null, code: null, rejectIds: null }
const BY = { actor: 'ada', reason: 'looked at' }

describe('rejects of metadata', () => {
  const bench = useDispatch()
  beforeEach(async () => {
    await bench.clear()
    await bench.query('delete from ops.audit')
    await bench.write([volume(0, { payload: counted(1) }), volume(0, { payload: counted(2) }), '{'])
    await bench.write(['['], 'theirs')
    await bench.dispatch()
  })
  const list = async (states: readonly ('open' | 'replayed' | 'waived')[] | null = null) => {
    const rejects = await listMetadataRejects(bench.source.db, ALL, { states, limit: 10 })
    return rejects.map(({ tenant, code, state }) => `${tenant} ${code} ${state}`).sort()
  }
  const audits = () =>
    bench.query<{ action: string; actor: string; count: number }>(
      `select action, actor, jsonb_array_length(after -> 'rejects') as count from ops.audit order by audit_id`,
    )

  test('are listed newest first, by tenant, code, state and number', async () => {
    expect(await list()).toEqual([
      'ours idempotency-conflict open',
      'ours record-schema-invalid open',
      'theirs record-schema-invalid open',
    ])
    const of = async (filter: Partial<typeof ALL | { tenant: string } | { code: string }>, limit = 10) => {
      const found = await listMetadataRejects(bench.source.db, { ...ALL, ...filter }, { states: null, limit })
      return found.map(({ record }) => record.slice(0, 1))
    }
    expect(await of({ tenant: 'theirs' })).toEqual(['['])
    expect(await of({ code: 'record-schema-invalid' }, 1)).toEqual(['['])
    expect(await of({ tenant: 'ours', code: 'record-schema-invalid' })).toEqual(['{'])
  })

  test('a replayed one goes to the outbox again: what is right by then is stored', async () => {
    await bench.query('delete from metadata.record_key')
    const filter = { ...ALL, code: 'idempotency-conflict' }
    expect(await replayMetadataRejects(bench.source.db, filter, BY)).toBe(1)
    expect(await bench.dispatch()).toMatchObject({ stored: 1, rejected: 0 })
    expect(await list(['open'])).toHaveLength(2)
    expect(await audits()).toEqual([{ action: 'replay_metadata_rejects', actor: 'ada', count: 1 }])
  })

  test('and what is wrong still is another reject, of the same tenant', async () => {
    expect(await replayMetadataRejects(bench.source.db, ALL, BY)).toBe(3)
    expect(await bench.dispatch()).toMatchObject({ stored: 0, rejected: 3 })
    expect(await list(['open'])).toEqual([
      'ours idempotency-conflict open',
      'ours record-schema-invalid open',
      'theirs record-schema-invalid open',
    ])
    expect(await list(['replayed'])).toHaveLength(3)
  })

  test('a waived one stays where it is, and is waived once', async () => {
    const filter = { ...ALL, tenant: 'theirs' }
    expect(await waiveMetadataRejects(bench.source.db, filter, BY)).toBe(1)
    expect(await waiveMetadataRejects(bench.source.db, filter, BY)).toBe(0)
    expect(await replayMetadataRejects(bench.source.db, filter, BY)).toBe(0)
    expect(await list(['waived'])).toEqual(['theirs record-schema-invalid waived'])
    expect(await audits()).toEqual([{ action: 'waive_metadata_rejects', actor: 'ada', count: 1 }])
  })
})
