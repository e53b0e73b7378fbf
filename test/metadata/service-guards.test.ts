import { beforeEach, describe, expect, test } from 'vitest'
import type { NewMetadataRecord } from '../../shared/metadata/model/record.ts'
import { TARGET } from './fact.ts'
import { useService } from './service-bench.ts'

const A = 'a'.repeat(64)
const B = 'b'.repeat(64)
const soon = () => new Date(Date.now() + 3_600_000).toISOString()

describe('the guard of ingestion over HTTP', () => {
  const bench = useService()
  const { ask } = bench
  let target = TARGET
  let targets = 0
  beforeEach(() => {
    target = { ...TARGET, table: `guarded ${targets++}` }
  })
  const record = (key: string, fields: Partial<NewMetadataRecord>) => ({
    target,
    context: { namespace: 'test' },
    kindVersion: '1.0',
    producedAt: new Date(Date.now() - 60_000).toISOString(),
    producerId: 'test.v1',
    key: `${target.table} ${key}`,
    kind: 'catalog_diff',
    payload: {},
    ...fields,
  })
  const differ = async (fingerprint: string, severity: string, fields: Partial<NewMetadataRecord> = {}) => {
    const change = {
      change: 'type_changed',
      column: 'close',
      before: 'int8',
      after: 'text',
      severity,
      reason: 'narrower',
    }
    const payload = { from: A, to: B, fingerprint, severity, changes: [change] }
    const result = await bench.ours.store(record(`diff ${fingerprint}`, { payload, ...fields }))
    expect(result.outcome).toBe('stored')
    return result.outcome === 'stored' ? result.recordId : ''
  }
  const decide = (outcome: string, fields: { fingerprint?: string; producedAt?: string } = {}) => {
    const { fingerprint, ...rest } = fields
    const payload = { guard: 'ingestion', reasons: ['because'], ...(fingerprint && { fingerprint }) }
    return bench.ours.store(record(`decision ${outcome}`, { kind: 'guard_decision', outcome, payload, ...rest }))
  }
  const check = async () => (await ask('POST', '/guards/ingestion/check', { body: { target } })).body
  const override = (fields: Readonly<Record<string, unknown>> = {}) =>
    ask('POST', '/guards/overrides', {
      body: { target, fingerprint: A, reason: 'known, agreed with the readers', expiresAt: soon(), ...fields },
    })

  test('allows a target of which nothing is known', async () => {
    expect(await check()).toEqual({ decision: 'allow', reasons: [] })
  })

  test.each([
    ['breaking', 'block'],
    ['warning', 'warn'],
    ['compatible', 'allow'],
    ['info', 'allow'],
  ])('makes of a difference that is %s: %s', async (severity, decision) => {
    const recordId = await differ(A, severity)
    const reasons = decision === 'allow' ? [] : [`${severity}: type_changed close int8 → text (narrower)`]
    expect(await check()).toEqual({ decision, reasons, recordId, fingerprint: A })
  })

  test('says what the guard itself has decided about the difference, whenever that was', async () => {
    await differ(A, 'breaking')
    await decide('warn', { fingerprint: A, producedAt: '2024-01-01T00:00:00Z' })
    expect(await check()).toMatchObject({ decision: 'warn', reasons: ['because'] })
  })

  test('a decision that came after the difference stands, one from before it does not', async () => {
    await differ(A, 'breaking')
    await decide('warn', { producedAt: '2024-01-01T00:00:00Z' })
    expect((await check()).decision).toBe('block')
    await decide('pass', { producedAt: new Date().toISOString() })
    expect((await check()).decision).toBe('allow')
  })

  test('an override lets a break pass, is a record, and the same again is the same one', async () => {
    await differ(A, 'breaking')
    const expiresAt = soon()
    const given = await override({ expiresAt })
    expect(given.status).toBe(201)
    const verdict = await check()
    expect(verdict.decision).toBe('allow')
    expect(verdict.override).toMatchObject({ reason: 'known, agreed with the readers', actor: given.body.actor })
    expect((await ask('GET', `/records/${given.body.recordId}`)).body).toMatchObject({
      kind: 'guard_decision',
      outcome: 'pass',
      producerId: 'guard-override.v1',
      payload: { fingerprint: A },
    })
    const again = await override({ expiresAt })
    expect([again.status, again.body.recordId]).toEqual([200, given.body.recordId])
  })

  test('an override is bound to its difference: the next one is judged again', async () => {
    await differ(A, 'breaking')
    await override()
    await differ(B, 'breaking', { producedAt: new Date().toISOString() })
    expect(await check()).toMatchObject({ decision: 'block', fingerprint: B })
    const stale = await override()
    expect([stale.status, stale.body.fingerprint]).toEqual([409, B])
  })

  test('an override ends when it expires', async () => {
    await differ(A, 'breaking')
    await override({ expiresAt: new Date(Date.now() + 5_000).toISOString() })
    expect((await check()).decision).toBe('allow')
    bench.nowOffset = 10_000_000n
    expect((await check()).decision).toBe('block')
    bench.nowOffset = 0n
  })

  test('there is no override of nothing', async () => {
    const answer = await override()
    expect([answer.status, answer.body.type]).toEqual([404, '/api/metadata/v1/problems/no-record'])
  })

  test.each<[string, Readonly<Record<string, unknown>>, string]>([
    ['without a reason', { reason: '  ' }, '/reason'],
    ['that has expired', { expiresAt: '2024-01-01T00:00:00Z' }, '/expiresAt'],
    ['that lasts for ever', { expiresAt: '2999-01-01T00:00:00Z' }, '/expiresAt'],
    ['of no fingerprint', { fingerprint: 'x' }, '/fingerprint'],
    ['by somebody else', { actor: 'me' }, '/actor'],
  ])('an override %s is refused', async (_what, fields, pointer) => {
    await differ(A, 'breaking')
    const answer = await override(fields)
    expect([answer.status, answer.body.errors[0].pointer]).toEqual([422, pointer])
    expect((await check()).decision).toBe('block')
  })

  test.each<[string, Partial<NewMetadataRecord>]>([
    ['producer', { producerId: 'guard-override.v1' }],
    ['scope', { scope: `override/${A}` }],
  ])('who may write decisions, and not override, cannot forge one by its %s', async (_what, fields) => {
    await differ(A, 'breaking')
    const token = await bench.token(['records:write:*'])
    const payload = {
      guard: 'ingestion',
      reasons: [],
      fingerprint: A,
      override: { actor: 'me', reason: 'mine', expiresAt: soon() },
    }
    const body = record('forged', { kind: 'guard_decision', outcome: 'pass', payload, ...fields })
    const answer = await ask('POST', '/records', { token, body })
    expect([answer.status, answer.body.missing]).toEqual([403, 'guards:override'])
    expect((await check()).decision).toBe('block')
  })
})
