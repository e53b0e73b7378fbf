import { describe, expect, test } from 'vitest'
import { PROBLEM_TYPES } from '../../shared/metadata/service/problems.ts'
import { ROUTES } from '../../shared/metadata/service/routes.ts'
import { useService } from './service-bench.ts'

type Operation = { operationId: string; parameters?: { name: string }[]; responses: Record<string, unknown> }

// That every answer is what the document says is checked where it is given: in `ask` of the bench.
describe('the OpenAPI document', () => {
  const bench = useService()
  const read = async () => (await bench.ask('GET', '/openapi.json')).body

  test('names every route, and no other', async () => {
    const { openapi, paths } = await read()
    expect(openapi).toBe('3.1.0')
    const documented = Object.entries<Record<string, Operation>>(paths).flatMap(([path, operations]) =>
      Object.entries(operations).map(([method, { operationId }]) => `${operationId}: ${method.toUpperCase()} ${path}`),
    )
    expect(documented.sort()).toEqual(
      ROUTES.map((route) => `${route.operationId}: ${route.method} ${route.path}`).sort(),
    )
  })

  test('names every parameter of a path', async () => {
    const { paths } = await read()
    for (const [path, operations] of Object.entries<Record<string, Operation>>(paths)) {
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
      for (const { parameters = [] } of Object.values(operations)) {
        expect(parameters.map(({ name }) => name)).toEqual(expect.arrayContaining(inPath))
      }
    }
  })

  test('names the extras that can be asked for, those of registered kinds too', async () => {
    const facets = async () =>
      (await read()).paths['/records'].get.parameters
        .map(({ name }: { name: string }) => name)
        .filter((name: string) => name.startsWith('extras.'))
    expect(await facets()).toContain('extras.lane')
    const schema = { type: 'object', properties: { rows: { type: 'integer' } } }
    const behaviour = { facets: ['colour'] }
    await bench.ask('POST', '/kinds/painted/versions', { body: { version: '1.0', schema, behaviour } })
    expect(await facets()).toContain('extras.colour')
  })

  test('says of every problem where it comes from, and every problem says what it means', async () => {
    const { paths } = await read()
    const text = JSON.stringify(paths)
    for (const code of PROBLEM_TYPES) {
      expect(text, code).toContain(`"${code}"`)
      const { body } = await bench.ask('GET', `/problems/${code}`)
      expect(body).toMatchObject({ code, status: expect.any(Number), title: expect.any(String) })
    }
  })

  test('has every schema that it refers to', async () => {
    const document = await read()
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)]
    expect(references.length).toBeGreaterThan(10)
    for (const [, name] of references) expect(document.components.schemas).toHaveProperty([name ?? ''])
    expect(JSON.stringify(document)).not.toContain('$defs')
  })
})
