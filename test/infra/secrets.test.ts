import { describe, expect, test } from 'vitest'
import { deployMain, functionSettings, ofType, onlyOne, propertiesOf, readText, textsIn } from './deployment.ts'

const ACCOUNTS = 'Microsoft.Storage/storageAccounts'

describe('secrets', () => {
  const given = { sources: 'alpaca', credentials: { ALPACA_KEY_ID: 'not-to-be-seen', ALPACA_SECRET_KEY: 'nor-this' } }
  const template = deployMain(given)

  test('that are given go to the vault and appear nowhere else', () => {
    const seen = template.resources.filter(({ name, scope, body }) =>
      textsIn({ name, scope, body }).some((value) => /not-to-be-seen|nor-this/.test(value)),
    )
    expect(seen.map(({ type, name }) => `${type} ${name.split('/').at(-1)}`)).toEqual([
      'Microsoft.KeyVault/vaults/secrets alpaca-key-id',
      'Microsoft.KeyVault/vaults/secrets alpaca-secret-key',
    ])
    expect(textsIn(template.outputs).join()).not.toMatch(/not-to-be-seen|nor-this/)
  })

  test('that are not given again stay in the vault, and the app keeps reading them', () => {
    const later = deployMain({ sources: 'alpaca' })
    expect(ofType(later, 'Microsoft.KeyVault/vaults/secrets')).toEqual([])
    expect(functionSettings(later).ALPACA_KEY_ID).toBe(
      '@Microsoft.KeyVault(SecretUri=<vault.properties.vaultUri>secrets/alpaca-key-id)',
    )
  })

  test('of Azure itself do not exist: no key is listed, shared keys and local sign-in are off', () => {
    const files = ['main.bicep', 'jobs.bicep', ...template.resources.map(({ file }) => file)]
    for (const file of new Set(files))
      expect(readText(`infra/${file}`), file).not.toMatch(/list(Keys|Secrets|Credentials)|connectionString\(/i)
    for (const account of ofType(template, ACCOUNTS)) {
      expect(propertiesOf(account)).toMatchObject({
        allowSharedKeyAccess: false,
        allowBlobPublicAccess: false,
        minimumTlsVersion: 'TLS1_2',
      })
    }
    expect(propertiesOf(onlyOne(template, 'Microsoft.Insights/components')).DisableLocalAuth).toBe(true)
    expect(propertiesOf(onlyOne(template, 'Microsoft.ContainerRegistry/registries')).adminUserEnabled).toBe(false)
  })
})
