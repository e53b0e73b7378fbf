import { describe, expect, test } from 'vitest'
import { record, text } from './bicep/functions.ts'
import { deployMain, ofType, readText } from './deployment.ts'

const sorted = (names: Iterable<string>) => [...new Set(names)].sort()

/** Names by the ids that Azure documents. */
const ROLES: Readonly<Record<string, string>> = {
  'b7e6dc6d-f1e8-4753-8033-0f276bb0955b': 'Storage Blob Data Owner',
  'ba92f5b4-2d11-453d-a403-e96b0029c9fe': 'Storage Blob Data Contributor',
  '2a2b9908-6ea1-4ae2-8e65-a410df84e7d1': 'Storage Blob Data Reader',
  '974c5e8b-45b9-4653-ba55-5f855dd0fb88': 'Storage Queue Data Contributor',
  '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3': 'Storage Table Data Contributor',
  '4633458b-17de-408a-b874-0445c86b69e6': 'Key Vault Secrets User',
  '3913510d-42f4-4e42-8a64-420c390055eb': 'Monitoring Metrics Publisher',
  '7f951dda-4ed3-4680-a7ca-43fe172d538d': 'AcrPull',
}
const PRINCIPALS: Readonly<Record<string, string>> = {
  '<app.properties.principalId>': 'app',
  '<maintenance.properties.principalId>': 'maintenance',
  'the-deploying-one': 'people',
  'the-operators': 'people',
}

describe('roles', () => {
  test('that Bicep assigns are those of docs/security.md, each on the scope that it says', () => {
    const template = deployMain({ operatorGroupId: 'the-operators' })
    const assigned = ofType(template, 'Microsoft.Authorization/roleAssignments').map(({ body, scope }) => {
      const { principalId, roleDefinitionId } = record(body.properties)
      const id = text(roleDefinitionId).split('/').at(-1) ?? ''
      return `${PRINCIPALS[text(principalId)]} | ${ROLES[id] ?? 'raw writer'} | ${scopeName(scope)}`
    })
    const said = [...readText('docs/security.md').matchAll(/^\| (app|maintenance|people) \| (.+?) \| (.+?) \|/gm)]
    expect(sorted(said.map(([, who, role, scope]) => `${who} | ${role} | ${scope}`))).toEqual(sorted(assigned))
  })

  test.each([
    ['add-only', ['read', 'add/action']],
    ['no-delete', ['read', 'add/action', 'write']],
  ])('the role for raw (%s) lets nobody delete', (rawWriter, actions) => {
    const [role] = ofType(deployMain({ rawWriter }), 'Microsoft.Authorization/roleDefinitions')
    const blobs = 'Microsoft.Storage/storageAccounts/blobServices/containers/blobs'
    expect(role?.body.properties).toMatchObject({
      permissions: [{ dataActions: actions.map((action) => `${blobs}/${action}`) }],
      assignableScopes: ['/subscriptions/sub/resourceGroups/rg'],
    })
  })
})

function scopeName(scope: string): string {
  const [, account = '', container] =
    /storageAccounts\/(?:blobServices\/containers\/)?st(host|lake)[^/]*(?:\/default\/(\w+))?/.exec(scope) ?? []
  if (container !== undefined) return `container ${container}`
  if (account !== '') return `${account} account`
  return (
    {
      'Microsoft.KeyVault': 'vault',
      'Microsoft.Insights': 'Application Insights',
      'Microsoft.ContainerRegistry': 'registry',
    }[scope.split('/')[1] ?? ''] ?? scope
  )
}
