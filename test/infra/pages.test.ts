import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { SOURCES } from '../../shared/sources/registry.ts'
import { ROOT, readText, variablesOf } from './deployment.ts'

const sorted = (names: Iterable<string>) => [...new Set(names)].sort()

describe('the workflow that deploys', () => {
  test('hands on every variable that a person may have set, but for credentials', () => {
    const workflow = [...readText('.github/workflows/deploy.yml').matchAll(/\$\{\{ vars\.(\w+) \}\}/g)].map(
      ([, name = '']) => name,
    )
    const credentials = [...SOURCES.values()].flatMap((source) => source.credentials)
    const parameters = variablesOf('infra/main.parameters.json').filter((name) => !credentials.includes(name))
    const signIn = [
      'AZURE_CLIENT_ID',
      'AZURE_TENANT_ID',
      'AZURE_SUBSCRIPTION_ID',
      'OPERATOR_GROUP_NAME',
      'RAW_RETENTION',
    ]
    const byAzd = ['AZURE_PRINCIPAL_ID', 'AZURE_PRINCIPAL_TYPE']
    expect(sorted(workflow)).toEqual(sorted([...parameters, ...signIn].filter((name) => !byAzd.includes(name))))
  })
})

describe('the pages', () => {
  test.each(['deploy', 'portal', 'security'])('docs/%s.md names only files that are there', (page) => {
    const named = [
      ...readText(`docs/${page}.md`).matchAll(/`((?:test|infra|docs|scripts)\/[\w./-]+)`|\]\(([\w./-]+\.md)/g),
    ]
    expect(named.length).toBeGreaterThan(1)
    const paths = named.map(([, path, link]) => path ?? join('docs', link ?? ''))
    expect(paths.filter((path) => !existsSync(new URL(path, ROOT)))).toEqual([])
  })
})
