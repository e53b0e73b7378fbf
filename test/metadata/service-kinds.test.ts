import { describe, expect, test } from 'vitest'
import { TARGET, volume } from './fact.ts'
import { useService } from './service-bench.ts'

const SCHEMA = {
  type: 'object',
  required: ['rows'],
  properties: { rows: { type: 'integer', minimum: 0 }, note: { type: 'string', maxLength: 100 } },
}

describe('kinds over HTTP', () => {
  const bench = useService()
  const { ask } = bench
  const register = (kind: string, body: unknown, query = '') => ask('POST', `/kinds/${kind}/versions${query}`, { body })
  const fact = (kind: string, payload: unknown, kindVersion = '1.0') => ({
    ...volume(0, { target: { ...TARGET, table: kind } }),
    kind,
    kindVersion,
    payload,
  })
  const codeOf = ({ body }: Awaited<ReturnType<typeof ask>>) => body.type.replace('/api/metadata/v1/problems/', '')

  test('those of the platform are listed with the schema of their payload', async () => {
    const { body } = await ask('GET', '/kinds')
    expect(body.kinds).toContainEqual({
      kind: 'guard_decision',
      builtIn: true,
      versions: [{ version: '1.0', state: 'published', sunsetAt: null }],
    })
    const version = await ask('GET', '/kinds/guard_decision/versions/1.0')
    expect(version.body.schema.properties.guard).toMatchObject({ enum: ['ingestion'] })
  })

  test('what is registered can be written at once, as its schema says', async () => {
    const made = await register('row_count', { version: '1.0', schema: SCHEMA })
    expect([made.status, made.body.created]).toEqual([201, true])
    expect(made.headers.get('location')).toBe('/api/metadata/v1/kinds/row_count/versions/1.0')
    expect((await ask('POST', '/records', { body: fact('row_count', { rows: 1 }) })).status).toBe(201)
    const bad = await ask('POST', '/records', { body: fact('row_count', { rows: -1, who: 1 }) })
    const pointers = bad.body.errors.map(({ pointer }: { pointer: string }) => pointer)
    expect([bad.status, pointers.sort()]).toEqual([422, ['/payload/rows', '/payload/who']])
  })

  test('the same version again is no error, another schema under its name is one', async () => {
    await register('again', { version: '1.0', schema: SCHEMA })
    const same = await register('again', { version: '1.0', schema: SCHEMA })
    expect([same.status, same.body.created]).toEqual([200, false])
    const other = await register('again', { version: '1.0', schema: { ...SCHEMA, required: [] } })
    expect([other.status, codeOf(other)]).toEqual([409, 'schema-immutable'])
  })

  test('a minor version that asks for more is refused with the differences, a dry run lists them and keeps nothing', async () => {
    await register('narrower', { version: '1.0', schema: SCHEMA })
    const body = { version: '1.1', schema: { ...SCHEMA, required: ['rows', 'note'] } }
    const dry = await register('narrower', body, '?dryRun=true')
    expect([dry.status, dry.body.accepted, dry.body.version]).toEqual([200, false, null])
    expect(dry.body.differences).toContainEqual(expect.objectContaining({ verdict: 'major', against: '1.0' }))
    const real = await register('narrower', body)
    expect([real.status, codeOf(real)]).toEqual([409, 'schema-incompatible'])
    expect(real.body.differences).toEqual(dry.body.differences)
    expect((await ask('GET', '/kinds/narrower/versions/1.1')).status).toBe(404)
  })

  test('a draft is not written before it is published, and one past its sunset not any more', async () => {
    await register('drafted', { version: '1.0', schema: SCHEMA, state: 'draft' })
    const write = async () => (await ask('POST', '/records', { body: fact('drafted', { rows: 1 }) })).status
    expect(await write()).toBe(422)
    expect((await ask('POST', '/kinds/drafted/versions/1.0/publish')).body.state).toBe('published')
    expect(await write()).toBe(201)
    const path = '/kinds/drafted/versions/1.0/deprecate'
    const past = await ask('POST', path, { body: { sunsetAt: '2020-01-01T00:00:00Z' } })
    expect([past.status, codeOf(past)]).toEqual([422, 'schema-invalid'])
    const deprecated = await ask('POST', path, { body: { sunsetAt: '2999-01-01T00:00:00Z' } })
    expect(deprecated.body).toMatchObject({ state: 'deprecated', sunsetAt: '2999-01-01T00:00:00Z' })
    expect(await write()).toBe(200)
  })

  const nested = (levels: number): unknown =>
    levels === 0 ? { type: 'string' } : { type: 'array', items: nested(levels - 1) }

  test.each<[string, unknown]>([
    ['a pattern', { type: 'object', properties: { a: { type: 'string', pattern: '^(a+)+$' } } }],
    ['a reference to elsewhere', { $ref: 'http://127.0.0.1:9/schema.json' }],
    ['a reference to itself', { type: 'object', properties: { a: { $ref: '#' } } }],
    ['combinators', { allOf: Array(50).fill({ anyOf: [{ type: 'object' }] }) }],
    ['100 levels', { type: 'object', properties: { a: nested(25) } }],
    ['a name that objects inherit', { type: 'object', properties: { constructor: { type: 'string' } } }],
    [
      '501 properties',
      { type: 'object', properties: Object.fromEntries(Array.from({ length: 501 }, (_, n) => [`p${n}`, {}])) },
    ],
    ['text instead of a type', { type: 'text' }],
    ['nothing of an object', { type: 'string' }],
  ])('a schema with %s is refused, and nothing is registered', async (_what, schema) => {
    const answer = await register('hostile', { version: '1.0', schema })
    expect([answer.status, ['schema-invalid', 'invalid-body'].includes(codeOf(answer))]).toEqual([422, true])
    expect((await ask('GET', '/kinds/hostile/versions')).status).toBe(404)
  })

  test.each([
    ['kind', 'ingestion_volume', '1.1', 409, 'kind-reserved'],
    ['kind', 'Bad-Name', '1.0', 422, 'schema-invalid'],
    ['version', 'fine', '1', 422, 'schema-invalid'],
    ['version', 'fine', '0.1', 422, 'schema-invalid'],
  ])('a %s of %s %s is refused', async (_what, kind, version, status, code) => {
    const answer = await register(kind, { version, schema: SCHEMA })
    expect([answer.status, codeOf(answer)]).toEqual([status, code])
  })

  test('an unknown kind and an unknown version are 404', async () => {
    expect(codeOf(await ask('GET', '/kinds/unheard/versions'))).toBe('unknown-kind')
    expect(codeOf(await ask('GET', '/kinds/schedule/versions/7.0'))).toBe('unknown-kind-version')
    expect(codeOf(await ask('POST', '/kinds/unheard/versions/1.0/publish'))).toMatch(/^unknown-kind/)
  })
})
