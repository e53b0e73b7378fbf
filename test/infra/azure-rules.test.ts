import { describe, expect, test } from 'vitest'
import { SOURCES } from '../../shared/sources/registry.ts'
import { list, record, text } from './bicep/functions.ts'
import {
  deployJobs,
  deployMain,
  functionSettings,
  jobOf,
  ofType,
  onlyOne,
  propertiesOf,
  readJson,
  readText,
  readTriggers,
} from './deployment.ts'

const SITES = 'Microsoft.Web/sites'
const ACCOUNTS = 'Microsoft.Storage/storageAccounts'
const POSTGRES = 'Microsoft.DBforPostgreSQL/flexibleServers'

describe('what Flex Consumption refuses', () => {
  const template = deployMain({ sources: [...SOURCES.keys()].join(',') })

  test('siteConfig holds the TLS version and the settings, nothing else', () => {
    const { siteConfig } = propertiesOf(onlyOne(template, SITES))
    expect(Object.keys(record(siteConfig)).sort()).toEqual(['appSettings', 'minTlsVersion'])
  })

  test('no setting is one that belongs to functionAppConfig or to other plans', () => {
    const refused =
      /^(FUNCTIONS_WORKER_RUNTIME|FUNCTIONS_EXTENSION_VERSION|WEBSITE_|SCM_DO_BUILD|ENABLE_ORYX_BUILD|TZ$)/
    expect(Object.keys(functionSettings(template)).filter((name) => refused.test(name))).toEqual([])
  })

  test('the vault is read as the app: the setting stands beside siteConfig, where it has an effect', () => {
    const site = onlyOne(template, SITES)
    const identities = Object.keys(record(record(site.body.identity).userAssignedIdentities))
    expect([propertiesOf(site).keyVaultReferenceIdentity]).toEqual(identities)
  })
})

describe('the database', () => {
  const connections = Number(/CONNECTIONS_MAX = (\d+)/.exec(readText('shared/platform.ts'))?.[1])

  /** Connections when every function group has all its instances and every job all its replicas. */
  async function connectionsMax(maximumInstanceCount: number, backfillParallelism: number): Promise<number> {
    const triggers = await readTriggers()
    const http = triggers.filter(({ binding }) => binding.type === 'httpTrigger')
    // All HTTP functions are one group, whose instances hold a second pool: that of the metadata service.
    const groups = triggers.length - http.length + 2
    // The job migrate holds one in each of two databases, and one more for its migrations; the job nightly has a pool.
    return (groups * maximumInstanceCount + backfillParallelism) * connections + 5
  }

  test('has a connection for every instance and replica that the defaults allow', async () => {
    const template = deployMain()
    const { maximumInstanceCount } = propertiesOf(onlyOne(template, SITES), 'functionAppConfig', 'scaleAndConcurrency')
    const { manualTriggerConfig } = jobOf(deployJobs(), 'backfill').configuration
    const needed = await connectionsMax(Number(maximumInstanceCount), Number(record(manualTriggerConfig).parallelism))
    const [alert] = ofType(template, 'Microsoft.Insights/metricAlerts').filter(({ name }) =>
      name.includes('connections'),
    )
    if (alert === undefined) throw new Error('metric alert: expected one of connections')
    const [criterion] = list(record(propertiesOf(alert).criteria).allOf)
    // The alert comes at four fifths of what the size has.
    const available = Number(record(criterion).threshold) / 0.8
    expect(connections).toBe(2)
    expect(needed).toBe(405)
    expect(available).toBeGreaterThan(needed)
  })

  test.each([
    ['Standard_B1ms', 1],
    ['Standard_B2s', 18],
    ['Standard_B2ms', 37],
    ['Standard_D4ds_v5', 76],
  ])('of the size %s takes %d instances, as docs/deploy.md says', async (sku, instances) => {
    const available = { Standard_B1ms: 35, Standard_B2s: 414, Standard_B2ms: 844, Standard_D4ds_v5: 1703 }[sku] ?? 0
    expect(await connectionsMax(instances, 2)).toBeLessThan(available)
    expect(readText('docs/deploy.md')).toContain(`| \`${sku}\` | ${available} | ${instances} |`)
  })

  test('lets nobody in by password, and its children are made one after the other', () => {
    const template = deployMain()
    expect(propertiesOf(onlyOne(template, POSTGRES), 'authConfig')).toMatchObject({
      activeDirectoryAuth: 'Enabled',
      passwordAuth: 'Disabled',
    })
    expect(readText('infra/app/postgres.bicep')).toMatch(
      /resource administrator [^\n]*\n {2}parent: server\n.*\n {2}dependsOn: \[firewall\]/,
    )
  })
})

describe('jobs', () => {
  test('have a user and a registry that they enter as themselves', () => {
    for (const { body } of ofType(deployJobs(), 'Microsoft.App/jobs')) {
      const identities = Object.keys(record(record(body.identity).userAssignedIdentities))
      const registries = list(record(record(body.properties).configuration).registries)
      expect(registries.map((registry) => record(registry).identity)).toEqual(identities)
    }
  })

  test('migrate is the administrator of PostgreSQL and the backfill is the app', () => {
    expect(jobOf(deployJobs(), 'migrate').env.PGUSER).toMatch(/^id-maintenance-/)
    expect(jobOf(deployJobs(), 'backfill').env.PGUSER).toMatch(/^id-app-/)
    expect(onlyOne(deployMain(), `${POSTGRES}/administrators`).body).toMatchObject({
      name: { unknown: 'maintenance.properties.principalId' },
      properties: { principalName: expect.stringMatching(/^id-maintenance-/) },
    })
  })

  test('nightly has a schedule of five fields, and runs as the one who may remove raw pages', () => {
    const { configuration, env } = jobOf(deployJobs(), 'nightly')
    expect(text(record(configuration.scheduleTriggerConfig).cronExpression).split(' ')).toHaveLength(5)
    expect(env.PGUSER).toMatch(/^id-maintenance-/)
  })

  test('the backfill ends itself a minute before Container Apps ends it', () => {
    const { configuration } = jobOf(deployJobs(), 'backfill')
    const [, stopAfter = ''] = /'--stop-after', `\$\{([^}]+)\}s`/.exec(readText('jobs/backfill.ts')) ?? []
    expect(stopAfter).toBe('24 * 3600 - 60')
    expect(configuration.replicaTimeout).toBe(24 * 3600)
  })

  test('exactly one carries the tag by which azd finds its service', () => {
    const tags = ofType(deployJobs(), 'Microsoft.App/jobs').map(({ body }) => record(body.tags)['azd-service-name'])
    expect(tags.filter((tag) => tag !== undefined)).toEqual(['jobs'])
  })

  test('the secrets of the vault are the credentials of the chosen sources, and each is given as its setting', () => {
    const { env, configuration } = jobOf(deployJobs({ sources: 'alpaca' }), 'backfill')
    expect(env).toMatchObject({ ALPACA_KEY_ID: 'secret alpaca-key-id', ALPACA_SECRET_KEY: 'secret alpaca-secret-key' })
    expect(list(configuration.secrets).map((secret) => record(secret).keyVaultUrl)).toEqual([
      '<vault.properties.vaultUri>secrets/alpaca-key-id',
      '<vault.properties.vaultUri>secrets/alpaca-secret-key',
    ])
  })
})

describe('raw', () => {
  const policies = (days: number) =>
    ofType(deployMain({ rawImmutabilityDays: days }), `${ACCOUNTS}/blobServices/containers/immutabilityPolicies`)

  test('is immutable for the days that are chosen; 0 is no policy', () => {
    expect(policies(30).map(({ name, body }) => [name.split('/').slice(1).join('/'), body.properties])).toEqual([
      ['default/raw/default', { immutabilityPeriodSinceCreationInDays: 30, allowProtectedAppendWrites: false }],
    ])
    expect(policies(0)).toEqual([])
  })

  test('lies in an account with folders, which have soft delete but no versions', () => {
    const accounts = ofType(deployMain(), ACCOUNTS)
    expect(accounts.map((account) => propertiesOf(account).isHnsEnabled)).toEqual([undefined, true])
    const services = ofType(deployMain(), `${ACCOUNTS}/blobServices`).map(({ body }) => body.properties)
    expect(services).toEqual([
      undefined,
      { deleteRetentionPolicy: { enabled: true, days: 7 }, containerDeleteRetentionPolicy: { enabled: true, days: 7 } },
    ])
  })
})

describe('with private endpoints', () => {
  const template = deployMain({ vnetEnabled: true })

  test('storage, database and vault are closed to the internet', () => {
    const closed = [...ofType(template, ACCOUNTS), onlyOne(template, 'Microsoft.KeyVault/vaults')].map(
      (resource) => propertiesOf(resource).publicNetworkAccess,
    )
    expect([...closed, propertiesOf(onlyOne(template, POSTGRES), 'network').publicNetworkAccess]).toEqual(
      Array(4).fill('Disabled'),
    )
    expect(ofType(template, `${POSTGRES}/firewallRules`)).toEqual([])
  })

  test('every service that the code speaks to has one, with a record in a zone that is there', () => {
    const zones = ofType(template, 'Microsoft.Network/privateDnsZones').map(
      ({ name }) => `/Microsoft.Network/privateDnsZones/${name}`,
    )
    const groups = ofType(template, 'Microsoft.Network/privateEndpoints').map(({ name }) =>
      name.split('-').slice(1, -1).join('-'),
    )
    expect(groups).toEqual([
      'host-blob',
      'host-queue',
      'host-table',
      'lake-blob',
      'lake-dfs',
      'lake-table',
      'postgres',
      'vault',
    ])
    const records = ofType(template, 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups')
    expect(records).toHaveLength(groups.length)
    for (const { body } of records) {
      const [config] = list(record(body.properties).privateDnsZoneConfigs)
      expect(zones).toContain(record(record(config).properties).privateDnsZoneId)
    }
  })
})

describe('azd', () => {
  test('is given every parameter by name, with a value that the template allows', () => {
    const { parameters } = readJson('infra/main.parameters.json')
    const declared = [...readText('infra/main.bicep').matchAll(/^param (\w+)/gm)].map(([, name = '']) => name)
    expect(Object.keys(record(parameters)).filter((name) => !declared.includes(name))).toEqual([])
    const defaults = Object.entries(record(parameters)).flatMap(([name, parameter]) => {
      const [, value] = /^\$\{\w+=(.*)\}$/.exec(String(record(parameter).value)) ?? []
      return value === undefined
        ? []
        : [
            [
              name,
              /^\d+$/.test(value) ? Number(value) : /^(true|false)$/.test(value) ? value === 'true' : value,
            ] as const,
          ]
    })
    expect(deployMain(Object.fromEntries(defaults)).resources.map(({ name }) => name)).toEqual(
      deployMain().resources.map(({ name }) => name),
    )
  })

  test('deploys the functions after the jobs, whose hook migrates', () => {
    const yaml = readText('azure.yaml')
    expect(yaml).toMatch(/ {2}functions:\n(?: {4}.*\n)*? {4}uses: \[jobs\]/)
    expect(yaml).toMatch(
      / {2}jobs:\n(?: {4}.*\n)*? {6}postdeploy:\n(?: {8}.*\n)*? {10}run: node scripts\/run-migrate-job\.mjs/,
    )
    expect(yaml).toMatch(/azd: '>= 1\.25\.0'/)
  })

  test('finds both services: by the tag of the function app and of one job', () => {
    const services = [...readText('azure.yaml').matchAll(/^ {2}(\w+):\n {4}project/gm)].map(([, name]) => name)
    const tagged = [...deployMain().resources, ...deployJobs().resources].flatMap(({ body }) => {
      const tag = body.tags === undefined ? undefined : record(body.tags)['azd-service-name']
      return tag === undefined ? [] : [text(tag)]
    })
    expect(tagged.sort()).toEqual(services.sort())
  })
})
