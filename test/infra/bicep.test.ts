import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { evaluateBicep } from './bicep/evaluate.ts'

const ACCOUNT = `
resource account 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: toLower('ST\${suffix}') // a comment
  properties: { on: !empty(names), first: names[0] }
}
resource queues 'Microsoft.Storage/storageAccounts/queueServices/queues@2025-01-01' = [
  for (name, i) in names: if (name != 'skipped') {
    parent: account
    name: '\${name}-\${i}'
  }
]
output endpoint string = '\${account.properties.primaryEndpoints.blob}x'
`
const PARAMS = "param suffix string\nvar names = ['a', 'skipped', 'b']\n"

describe('the reader of Bicep that these tests use', () => {
  let folder = ''
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tributary-bicep-'))
  })
  afterAll(() => rm(folder, { recursive: true }))
  const evaluate = async (source: string, params = {}) => {
    const path = join(folder, 'main.bicep')
    await writeFile(path, source)
    return evaluateBicep(pathToFileURL(path), params)
  }

  test('decides loops and conditions, and keeps what only Azure knows as its path', async () => {
    const { resources, outputs } = await evaluate(PARAMS + ACCOUNT, { suffix: 'X' })
    expect(resources.map(({ name }) => name)).toEqual(['stx', 'stx/a-0', 'stx/b-2'])
    expect(resources[0]?.body).toEqual({ name: 'stx', properties: { on: true, first: 'a' } })
    expect(outputs).toEqual({ endpoint: '<account.properties.primaryEndpoints.blob>x' })
  })

  test.each([
    [
      'a name that nobody declares',
      'output a string = other',
      'main.bicep a: line 1: expected a declared name, got other',
    ],
    ['a function that it does not know', 'output a string = toUper(1)', 'expected a known function, got toUper'],
    [
      'a property that is not there',
      'var a = { b: 1 }\noutput c int = a.d',
      'main.bicep c: line 2: expected a property that is there, got d',
    ],
    [
      'a parameter without a value',
      'param a string\noutput b string = a',
      'main.bicep: expected the parameter a, got none',
    ],
    ['a parameter that nothing uses', "param a string = ''", 'main.bicep: expected the param a to be used somewhere'],
    [
      'a value that is not allowed',
      "@allowed(['x'])\nparam a string = 'x'\noutput b string = a",
      'main.bicep: expected one of the allowed values of a, got y',
    ],
    ['two declarations of one name', 'var a = 1\nvar a = 2\noutput b int = a', 'main.bicep: a is declared twice'],
    ['a statement of another kind', "import 'x'", 'line 1: expected a name, got "\'x\'"'],
    ['a string without its end', "var a = 'x", 'line 1: expected the end of a string, got the end of the line'],
  ])('refuses %s', async (title, source, problem) => {
    const params = title === 'a value that is not allowed' ? { a: 'y' } : {}
    await expect(evaluate(source, params)).rejects.toThrow(problem)
  })
})
