import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Instant } from '../../shared/instant.ts'
import { withoutHook } from '../../shared/io-hook.ts'
import { KINDS, payloadSchema } from '../../shared/metadata/model/kinds.ts'
import type { NewKindVersion } from '../../shared/metadata/registry/kind-version.ts'
import { type KindRegistry, openKindRegistry } from '../../shared/metadata/registry/registry.ts'
import { type Database, openDatabase } from '../../shared/postgres/database.ts'
import { useTestEnvironment } from '../support/environment.ts'

const text = { type: 'string' }
const orders = (version: string, properties: object, fields: Partial<NewKindVersion> = {}): NewKindVersion => ({
  kind: 'orders',
  version,
  schema: { type: 'object', properties },
  ...fields,
})
const by = { createdBy: 'ada' }

describe('the registry of kinds', () => {
  const environment = useTestEnvironment()
  const now = BigInt(Date.now()) * 1_000n
  const open = () =>
    openDatabase(
      { connection: { kind: 'url', url: environment.databaseUrl }, connectionsMax: 2, applicationName: 'test' },
      withoutHook,
    )
  let db: Database
  let registry: KindRegistry
  beforeAll(() => {
    db = open()
  })
  afterAll(() => db.close())
  beforeEach(async () => {
    await db.query({ name: 'test clear kinds', text: 'delete from metadata.kind_version' })
    registry = openKindRegistry({ db, builtin: KINDS, clock: () => now })
  })
  const states = async (kind = 'orders') => {
    const result = await registry.versions(kind)
    return result.ok ? result.value.map(({ version, state }) => `${version} ${state}`) : result.problem.code
  }
  const codeOf = async (work: Promise<{ ok: true } | { ok: false; problem: { code: string } }>) => {
    const result = await work
    return result.ok ? 'ok' : result.problem.code
  }

  test('knows the kinds of the platform, with the JSON Schemas of their payloads', async () => {
    const [first] = await registry.kinds()
    expect(first).toEqual({
      kind: 'ingestion_volume',
      builtIn: true,
      versions: [{ version: '1.0', state: 'published', sunsetAt: null }],
    })
    const volume = KINDS.get('ingestion_volume')
    expect(await registry.version('ingestion_volume', '1.0')).toMatchObject({
      ok: true,
      value: { schema: volume && payloadSchema(volume), behaviour: { facets: ['lane'], hotDays: 90 }, builtIn: true },
    })
  })

  test('gives back what was registered, as it was', async () => {
    const schema = { type: 'object', title: 'Orders', properties: { n: { type: 'integer' } } }
    const behaviour = { outcomes: ['pass', 'fail'], rollups: ['n'], facets: ['market'] }
    const registered = await registry.register({ kind: 'orders', version: '1.0', schema, behaviour }, by)
    const version = {
      kind: 'orders',
      version: '1.0',
      state: 'published',
      builtIn: false,
      schema,
      behaviour: { ...behaviour, hotDays: 90 },
      createdBy: 'ada',
      publishedAt: expect.any(BigInt),
      sunsetAt: null,
    }
    expect(registered).toEqual({
      ok: true,
      value: { accepted: true, detail: null, created: true, differences: [], version },
    })
    expect(await registry.version('orders', '1.0')).toEqual({ ok: true, value: version })
    expect((await registry.kinds()).at(-1)).toEqual({
      kind: 'orders',
      builtIn: false,
      versions: [{ version: '1.0', state: 'published', sunsetAt: null }],
    })
  })

  test('a version is immutable once it is published: the same again is the one that is there', async () => {
    const input = orders('1.0', { a: text, b: text })
    await registry.register(input, by)
    const reordered = { ...input, schema: { properties: { b: text, a: text }, type: 'object' } }
    expect(await registry.register(reordered, { createdBy: 'eve' })).toMatchObject({
      ok: true,
      value: { created: false, version: { createdBy: 'ada' } },
    })
    expect(await codeOf(registry.register(orders('1.0', { a: text }), by))).toBe('schema-immutable')
    expect(await codeOf(registry.register({ ...input, behaviour: { hotDays: 91 } }, by))).toBe('schema-immutable')
    expect(await registry.version('orders', '1.0')).toMatchObject({ value: { schema: input.schema } })
  })

  test('a draft may be changed until it is published', async () => {
    const draft = { state: 'draft' as const }
    await registry.register(orders('1.0', { a: text }, draft), by)
    await registry.register(orders('1.0', { a: { type: 'number' } }, draft), by)
    expect(await states()).toEqual(['1.0 draft'])
    expect(await registry.publish('orders', '1.0')).toMatchObject({
      ok: true,
      value: { state: 'published', schema: { properties: { a: { type: 'number' } } } },
    })
    expect(await registry.publish('orders', '1.0')).toMatchObject({ ok: true, value: { state: 'published' } })
    expect(await codeOf(registry.register(orders('1.0', { a: text }, draft), by))).toBe('schema-immutable')
  })

  test('nobody is judged by a draft, and a draft is judged by what was published before it is', async () => {
    await registry.register(orders('1.0', { a: text }), by)
    await registry.register(orders('1.1', { a: text, b: text }, { state: 'draft' }), by)
    expect(await codeOf(registry.register(orders('2.0', { a: text, b: { type: 'number' } }), by))).toBe('ok')
    expect(await registry.publish('orders', '1.1')).toMatchObject({
      ok: false,
      problem: {
        code: 'schema-incompatible',
        differences: [
          { change: 'optional-property-added', against: '1.0' },
          { pointer: '/schema/properties/b/type', change: 'type-changed', verdict: 'never', against: '2.0' },
        ],
      },
    })
    expect(await states()).toEqual(['1.0 published', '1.1 draft', '2.0 published'])
  })

  test('what earlier versions do not allow is refused, with all differences and what is wrong', async () => {
    await registry.register(orders('1.0', { a: text, b: text }), by)
    const result = await registry.register(orders('1.1', { a: { type: 'number' }, c: text }), by)
    expect(result).toEqual({
      ok: false,
      problem: {
        code: 'schema-incompatible',
        detail:
          'kind orders, version 1.1: expected what earlier versions allow, got type-changed at /schema/properties/a/type (1.0), property-removed at /schema/properties/b (1.0): it needs other names',
        errors: [],
        differences: [
          { pointer: '/schema/properties/a/type', change: 'type-changed', verdict: 'never', against: '1.0' },
          { pointer: '/schema/properties/b', change: 'property-removed', verdict: 'major', against: '1.0' },
          { pointer: '/schema/properties/c', change: 'optional-property-added', verdict: 'minor', against: '1.0' },
        ],
      },
    })
    expect(await states()).toEqual(['1.0 published'])
  })

  test('a dry run says the same and writes nothing', async () => {
    await registry.register(orders('1.0', { a: text }), by)
    const dryRun = { ...by, dryRun: true }
    expect(await registry.register(orders('1.1', { a: text, b: text }), dryRun)).toEqual({
      ok: true,
      value: {
        accepted: true,
        detail: null,
        created: false,
        version: null,
        differences: [
          { pointer: '/schema/properties/b', change: 'optional-property-added', verdict: 'minor', against: '1.0' },
        ],
      },
    })
    expect(await registry.register(orders('1.1', {}), dryRun)).toMatchObject({
      ok: true,
      value: {
        accepted: false,
        detail: expect.stringContaining('property-removed'),
        differences: [{ verdict: 'major' }],
      },
    })
    expect(await codeOf(registry.register(orders('1.0', {}), dryRun))).toBe('schema-immutable')
    expect(await codeOf(registry.register(orders('1.1', { a: {} }), dryRun))).toBe('schema-invalid')
    expect(await states()).toEqual(['1.0 published'])
  })

  test.each<[string, NewKindVersion, readonly string[]]>([
    ['a name in capitals', { ...orders('1.0', {}), kind: 'Orders' }, ['/kind']],
    ['a name that is a path', { ...orders('1.0', {}), kind: '../x' }, ['/kind']],
    ['a version of one number', orders('1', {}), ['/version']],
    ['a version of leading zeros', orders('1.01', {}), ['/version']],
    ['a schema that is none', { ...orders('1.0', {}), schema: null }, ['/schema']],
    ['a schema with a pattern', orders('1.0', { a: { ...text, pattern: 'a' } }), ['/schema/properties/a/pattern']],
    ['five facets', orders('1.0', {}, { behaviour: { facets: ['a', 'b', 'c', 'd', 'e'] } }), ['/behaviour/facets']],
    [
      'a facet that could be read in two ways',
      orders('1.0', {}, { behaviour: { facets: ['a=b'] } }),
      ['/behaviour/facets/0'],
    ],
    ['no day', orders('1.0', {}, { behaviour: { hotDays: 0 } }), ['/behaviour/hotDays']],
    ['an outcome with spaces', orders('1.0', {}, { behaviour: { outcomes: ['all well'] } }), ['/behaviour/outcomes/0']],
    ['outcomes of which there is none', orders('1.0', {}, { behaviour: { outcomes: [] } }), ['/behaviour/outcomes']],
    ['an outcome twice', orders('1.0', {}, { behaviour: { outcomes: ['a', 'a'] } }), ['/behaviour/outcomes']],
    ['a rollup of text', orders('1.0', { a: text }, { behaviour: { rollups: ['a'] } }), ['/behaviour/rollups/0']],
    [
      'a rollup of nothing',
      orders('1.0', { a: text }, { behaviour: { rollups: ['toString'] } }),
      ['/behaviour/rollups/0'],
    ],
    ['behaviour that nobody knows', orders('1.0', {}, { behaviour: { speed: 1 } }), ['/behaviour/speed']],
    ['several of them', { ...orders('x', { a: {} }), kind: '' }, ['/kind', '/version', '/schema/properties/a/type']],
  ])('what cannot be registered is refused with pointers: %s', async (_name, input, pointers) => {
    const result = await registry.register(input, by)
    expect(result).toMatchObject({ ok: false, problem: { code: 'schema-invalid' } })
    expect(result.ok ? [] : result.problem.errors.map(({ pointer }) => pointer)).toEqual(pointers)
  })

  test('names of the platform are its own', async () => {
    const volume = { ...orders('2.0', {}), kind: 'ingestion_volume' }
    expect(await codeOf(registry.register(volume, by))).toBe('kind-reserved')
    expect(await codeOf(registry.register(volume, { ...by, dryRun: true }))).toBe('kind-reserved')
    expect(await codeOf(registry.publish('ingestion_volume', '1.0'))).toBe('kind-reserved')
    expect(await codeOf(registry.deprecate('ingestion_volume', '1.0', now + 1n))).toBe('kind-reserved')
  })

  test('what is not there is unknown', async () => {
    await registry.register(orders('1.0', {}), by)
    expect(await codeOf(registry.versions('nothing'))).toBe('unknown-kind')
    expect(await codeOf(registry.version('nothing', '1.0'))).toBe('unknown-kind')
    expect(await codeOf(registry.publish('nothing', '1.0'))).toBe('unknown-kind')
    expect(await codeOf(registry.deprecate('nothing', '1.0', now + 1n))).toBe('unknown-kind')
    expect(await codeOf(registry.version('orders', '1.1'))).toBe('unknown-kind-version')
    expect(await codeOf(registry.version('schedule', '9.0'))).toBe('unknown-kind-version')
    expect(await codeOf(registry.publish('orders', "1.0'; --"))).toBe('unknown-kind-version')
    expect(await codeOf(registry.deprecate('orders', '01.0', now + 1n))).toBe('unknown-kind-version')
  })

  test('is deprecated with a sunset that is to come, which may be moved', async () => {
    await registry.register(orders('1.0', { a: text }), by)
    await registry.register(orders('1.1', { a: text, b: text }, { state: 'draft' }), by)
    const sunset = (at: Instant) => registry.deprecate('orders', '1.0', at)
    expect(await sunset(now)).toMatchObject({ problem: { code: 'schema-invalid', errors: [{ pointer: '/sunsetAt' }] } })
    expect(await sunset(now + 10n)).toMatchObject({ ok: true, value: { state: 'deprecated', sunsetAt: now + 10n } })
    expect(await sunset(now + 5n)).toMatchObject({ ok: true, value: { sunsetAt: now + 5n } })
    expect(await codeOf(registry.deprecate('orders', '1.1', now + 1n))).toBe('unknown-kind-version')
    expect(await codeOf(registry.register(orders('1.0', { a: text }), by))).toBe('ok')
    expect(await states()).toEqual(['1.0 deprecated', '1.1 draft'])
  })

  test('of several who register the same version at once, one does', async () => {
    const others = await Promise.all(
      [text, { type: 'number' }, { type: 'boolean' }, { type: 'integer' }].map(async (a) => {
        const own = open()
        const result = await openKindRegistry({ db: own, builtin: KINDS }).register(orders('1.0', { a }), by)
        await own.close()
        return result.ok ? 'ok' : result.problem.code
      }),
    )
    expect(others.sort()).toEqual(['ok', 'schema-immutable', 'schema-immutable', 'schema-immutable'])
  })

  test('holds at most 200 kinds', async () => {
    const names = Array.from({ length: 200 }, (_, index) => `k${index}`)
    const text = `insert into metadata.kind_version (kind, major, minor, schema, schema_sha256, created_by)
      select k, 1, 0, '{"type": "object"}', '', 'test' from unnest($1::text[]) as k`
    await db.query({ name: 'test many kinds', text }, [names])
    expect(await codeOf(registry.register({ ...orders('1.1', {}), kind: 'k0' }, by))).toBe('schema-incompatible')
    expect(await registry.register(orders('1.0', {}), by)).toMatchObject({
      problem: {
        code: 'schema-invalid',
        detail: 'kind version/kind: expected at most 200 registered kinds, got another',
      },
    })
  })
})
