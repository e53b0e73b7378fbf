import { resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Environment } from '../../shared/config/environment.ts'
import { parseSettings, schedule, sourceSettings } from '../../shared/config/settings.ts'
import { ConfigError } from '../../shared/errors.ts'

const KEY = 'c2VjcmV0LWFjY291bnQta2V5LW9mLXRlc3RzCg=='
const STORAGE = `DefaultEndpointsProtocol=https;AccountName=lake;AccountKey=${KEY};EndpointSuffix=core.windows.net`
const GOOD = { DATABASE_URL: 'postgres://me:p%40ssw0rd@db:5432/tributary', AzureWebJobsStorage: STORAGE }
const ENTRA = { AzureWebJobsStorage: STORAGE, PGHOST: 'db', PGDATABASE: 'tributary', PGUSER: 'me' }
const UNRESOLVED = '@Microsoft.KeyVault(SecretUri=https://vault/secrets/x)'
const SERVICE = 'expected a service address such as https://<account>.blob.core.windows.net'

const BAD: readonly (readonly [name: string, env: Environment, ...problems: string[]])[] = [
  [
    'nothing at all',
    {},
    'AzureWebJobsStorage: expected a connection string, or AzureWebJobsStorage__blobServiceUri for an identity, got neither',
    'DATABASE_URL: expected a postgres:// address, or PGHOST, PGDATABASE and PGUSER, got neither',
  ],
  ['two databases', { ...GOOD, PGHOST: 'db' }, 'DATABASE_URL, PGHOST: expected exactly one of the two, got both'],
  [
    'a database of another kind',
    { ...GOOD, DATABASE_URL: 'mysql://me:hidden@db/x' },
    'DATABASE_URL: expected postgres://user:password@host:port/database, got another text',
  ],
  [
    'a host without database and user',
    { AzureWebJobsStorage: STORAGE, PGHOST: 'db' },
    'PGDATABASE: expected a name because PGHOST is set, got none',
    'PGUSER: expected a name because PGHOST is set, got none',
  ],
  ['another ssl mode', { ...ENTRA, PGSSLMODE: 'prefer' }, 'PGSSLMODE: expected require or disable, got "prefer"'],
  ['a port that is none', { ...ENTRA, PGPORT: '99999' }, 'PGPORT: expected a port from 1 to 65535, got "99999"'],
  [
    'a storage that is no connection string',
    { ...GOOD, AzureWebJobsStorage: 'hello' },
    'AzureWebJobsStorage: expected a storage connection string, got a text without AccountName or BlobEndpoint',
  ],
  [
    'two storages in one',
    { ...GOOD, AzureWebJobsStorage__blobServiceUri: 'https://a.blob.core.windows.net' },
    'AzureWebJobsStorage: expected a connection string or AzureWebJobsStorage__blobServiceUri, got both',
  ],
  [
    'a service that is no address',
    { ...GOOD, LAKE_STORAGE__blobServiceUri: 'lake' },
    `LAKE_STORAGE: ${SERVICE}, got "lake"`,
  ],
  [
    'half of a lake',
    { ...GOOD, LAKE_STORAGE__clientId: 'x' },
    'LAKE_STORAGE: expected a connection string, or LAKE_STORAGE__blobServiceUri for an identity, got neither',
  ],
  [
    'a key vault reference that did not resolve',
    { ...GOOD, ALPACA_SECRET_KEY: UNRESOLVED },
    'ALPACA_SECRET_KEY: expected a value, got a key vault reference that did not resolve',
  ],
  [
    'a lease of words',
    { ...GOOD, TRIBUTARY_LEASE_SECONDS: 'long' },
    'TRIBUTARY_LEASE_SECONDS: expected a whole number from 3 to 3600, got "long"',
  ],
  [
    'a lease of nothing',
    { ...GOOD, TRIBUTARY_LEASE_SECONDS: '0' },
    'TRIBUTARY_LEASE_SECONDS: expected a whole number from 3 to 3600, got "0"',
  ],
  [
    'a lease with a fraction',
    { ...GOOD, TRIBUTARY_LEASE_SECONDS: '60.5' },
    'TRIBUTARY_LEASE_SECONDS: expected a whole number from 3 to 3600, got "60.5"',
  ],
  [
    'a lease in another notation',
    { ...GOOD, TRIBUTARY_LEASE_SECONDS: '1e2' },
    'TRIBUTARY_LEASE_SECONDS: expected a whole number from 3 to 3600, got "1e2"',
  ],
  [
    'a log level that is none',
    { ...GOOD, TRIBUTARY_LOG_LEVEL: 'INFO' },
    'TRIBUTARY_LOG_LEVEL: expected one of debug, info, warn, error, got "INFO"',
  ],
  [
    'a webhook that is no address',
    { ...GOOD, TRIBUTARY_ALERT_WEBHOOK_URL: 'ftp://x' },
    'TRIBUTARY_ALERT_WEBHOOK_URL: expected an http or https address, got "ftp://x"',
  ],
  [
    'telemetry of another kind',
    { ...GOOD, TELEMETRY: 'zipkin' },
    'TELEMETRY: expected off or otel, got "zipkin"',
    'APPLICATIONINSIGHTS_CONNECTION_STRING: expected one because TELEMETRY is otel, got none',
  ],
  [
    'a retention that would empty raw',
    { ...GOOD, TRIBUTARY_RAW_RETENTION: 'alpaca=400d, fred=0d' },
    'TRIBUTARY_RAW_RETENTION: expected source=days such as alpaca=400d, at least 7d, separated by commas, got " fred=0d"',
  ],
  [
    'another repository',
    { ...GOOD, METADATA_REPOSITORY: 'mongo' },
    'METADATA_REPOSITORY: expected one of embedded, postgres, remote, got "mongo"',
  ],
  [
    'a tenant that goes into no path',
    { ...GOOD, METADATA_TENANT: '../x' },
    'METADATA_TENANT: expected up to 63 of a-z, 0-9 and -, a letter first, got "../x"',
  ],
  [
    'a remote repository without an address',
    { ...GOOD, METADATA_REPOSITORY: 'remote', METADATA_URL: 'here' },
    'METADATA_URL: expected the http or https address of a metadata service, got "here"',
  ],
  [
    'a remote repository without a token',
    { ...GOOD, METADATA_REPOSITORY: 'remote', METADATA_URL: 'https://x' },
    'METADATA_TOKEN: expected a token because METADATA_REPOSITORY is remote, got none',
  ],
  [
    'metadata in a database of another kind',
    { ...GOOD, METADATA_DATABASE_URL: 'mysql://x' },
    'METADATA_DATABASE_URL: expected postgres://user:password@host:port/database, got another text',
  ],
  [
    'lineage to no address, with events of words',
    { ...GOOD, OPENLINEAGE_URL: 'marquez', OPENLINEAGE_DATASET_EVENTS: 'yes' },
    'OPENLINEAGE_DATASET_EVENTS: expected true or false, got "yes"',
    'OPENLINEAGE_URL: expected an http or https address, got "marquez"',
  ],
  [
    'an environment of tokens with an underscore',
    { ...GOOD, METADATA_TOKEN_ENVIRONMENT: 'my_env' },
    'METADATA_TOKEN_ENVIRONMENT: expected up to 32 of a-z, 0-9 and -, got "my_env"',
  ],
]

describe('settings', () => {
  for (const [name, env, ...problems] of BAD) {
    test(`${name}: refused, and the problem says what was expected`, () => {
      expect(problemsOf(env)).toEqual(problems)
    })
  }

  test('all problems are reported together', () => {
    const env = { PGHOST: 'db', PGUSER: 'me', TRIBUTARY_LEASE_SECONDS: 'x', TRIBUTARY_LOG_LEVEL: 'y' }
    expect(problemsOf(env)).toEqual([
      'AzureWebJobsStorage: expected a connection string, or AzureWebJobsStorage__blobServiceUri for an identity, got neither',
      'PGDATABASE: expected a name because PGHOST is set, got none',
      'TRIBUTARY_LEASE_SECONDS: expected a whole number from 3 to 3600, got "x"',
      'TRIBUTARY_LOG_LEVEL: expected one of debug, info, warn, error, got "y"',
    ])
  })

  test('no problem shows a password or a key', () => {
    const env = { DATABASE_URL: 'postgres//me:hidden@db/x', AzureWebJobsStorage: 'AccountKey=hidden' }
    expect(problemsOf(env).join('\n')).not.toContain('hidden')
  })

  test('have defaults for everything but storage and database', () => {
    const storage = { kind: 'connection-string', connectionString: STORAGE }
    expect(parseSettings(GOOD)).toEqual({
      hostStorage: storage,
      lakeStorage: storage,
      database: { kind: 'url', url: GOOD.DATABASE_URL },
      streamsFile: resolve('streams.json'),
      leaseSeconds: 60,
      quarantineAttempts: 10,
      quarantineSeconds: 86_400,
      rawRetentionDays: new Map(),
      logLevel: 'info',
      alertWebhookUrl: undefined,
      telemetry: undefined,
      metadata: {
        place: { kind: 'postgres', database: null },
        tenant: 'default',
        cluster: undefined,
        workspace: undefined,
        tokenEnvironment: 'live',
        openLineage: undefined,
      },
      secrets: ['p%40ssw0rd', 'p@ssw0rd', KEY],
    })
  })

  test('of raw retention are days by source', () => {
    const { rawRetentionDays } = parseSettings({ ...GOOD, TRIBUTARY_RAW_RETENTION: 'alpaca=400d, fred=730d' })
    expect([...rawRetentionDays]).toEqual([
      ['alpaca', 400],
      ['fred', 730],
    ])
  })

  test('that are empty count as not set', () => {
    const empty = {
      ...GOOD,
      TRIBUTARY_LEASE_SECONDS: '',
      LAKE_STORAGE: '',
      PGHOST: '',
      TRIBUTARY_ALERT_WEBHOOK_URL: '',
    }
    expect(parseSettings(empty)).toEqual(parseSettings(GOOD))
  })

  test('of an identity: the host and the lake may be two accounts', () => {
    const settings = parseSettings({
      ...ENTRA,
      AZURE_CLIENT_ID: 'app',
      PGPORT: '6432',
      LAKE_STORAGE__blobServiceUri: 'https://lake.blob.core.windows.net',
      LAKE_STORAGE__clientId: 'reader',
    })
    expect(settings.hostStorage.kind).toBe('connection-string')
    expect(settings.lakeStorage).toEqual({
      kind: 'identity',
      blobServiceUri: 'https://lake.blob.core.windows.net',
      queueServiceUri: undefined,
      clientId: 'reader',
    })
    expect(settings.database).toEqual({
      kind: 'entra',
      host: 'db',
      port: 6432,
      database: 'tributary',
      user: 'me',
      clientId: 'app',
      tls: true,
    })
  })

  test("the streams file lies in the app's folder where the host names it", () => {
    const env = { ...GOOD, AzureWebJobsScriptRoot: '/site/wwwroot', TRIBUTARY_STREAMS: 'mine.json' }
    expect(parseSettings(env).streamsFile).toBe('/site/wwwroot/mine.json')
  })

  test('of a source are named after it', () => {
    const source = {
      id: 'alpaca',
      baseUrl: 'https://data.alpaca.markets',
      credentials: ['ALPACA_KEY_ID', 'ALPACA_SECRET_KEY'],
    }
    expect(sourceSettings({ ALPACA_BASE_URL: 'http://127.0.0.1:1234//', ALPACA_KEY_ID: 'id' }, source)).toEqual({
      baseUrl: 'http://127.0.0.1:1234',
      credentials: { ALPACA_KEY_ID: 'id' },
      missing: ['ALPACA_SECRET_KEY'],
    })
    expect(sourceSettings({}, source).baseUrl).toBe('https://data.alpaca.markets')
  })

  test('of a timer have a default', () => {
    expect(schedule({}, 'PLAN_SCHEDULE')).toBe('0 */5 * * * *')
    expect(schedule({ SWEEP_SCHEDULE: '*/5 * * * * *' }, 'SWEEP_SCHEDULE')).toBe('*/5 * * * * *')
  })
})

function problemsOf(env: Environment): readonly string[] {
  try {
    parseSettings(env)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  throw new Error('settings: expected problems, got none')
}
