import { beforeAll, describe, expect, test } from 'vitest'
import type { Environment } from '../../shared/config/environment.ts'
import { SCHEDULE_DEFAULTS, schedule } from '../../shared/config/settings.ts'
import { CONTAINERS as LAKE_CONTAINERS, TABLES as LAKE_TABLES } from '../../shared/config/storage-names.ts'
import { ROUTE_PREFIX } from '../../shared/metadata/service/request.ts'
import { ROUTES } from '../../shared/metadata/service/routes.ts'
import { openPlatform } from '../../shared/platform.ts'
import { SOURCES } from '../../shared/sources/registry.ts'
import { record, text } from './bicep/functions.ts'
import {
  deployJobs,
  deployMain,
  functionSettings,
  jobOf,
  ofType,
  readJson,
  readText,
  readTriggers,
  type Trigger,
  variablesOf,
} from './deployment.ts'

const EVERY_SOURCE = { sources: [...SOURCES.keys()].join(',') }
const QUEUES = 'Microsoft.Storage/storageAccounts/queueServices/queues'
const CONTAINERS = 'Microsoft.Storage/storageAccounts/blobServices/containers'
const TABLES = 'Microsoft.Storage/storageAccounts/tableServices/tables'

const sorted = (names: Iterable<string>) => [...new Set(names)].sort()
const lastPart = ({ name }: { readonly name: string }) => name.split('/').at(-1) ?? ''

/** Names of the settings that the code reads where storage and database are entered with an identity. */
function settingsRead(): ReadonlySet<string> {
  const read = new Set<string>()
  const given: Environment = {
    AzureWebJobsStorage__blobServiceUri: 'https://host.blob.core.windows.net/',
    AzureWebJobsStorage__queueServiceUri: 'https://host.queue.core.windows.net/',
    LAKE_STORAGE__blobServiceUri: 'https://lake.blob.core.windows.net/',
    PGHOST: 'server',
    PGDATABASE: 'tributary',
    PGUSER: 'app',
    TELEMETRY: 'otel',
    APPLICATIONINSIGHTS_CONNECTION_STRING: 'InstrumentationKey=0',
  }
  const env = new Proxy(given, {
    get(target, name) {
      if (typeof name === 'string') read.add(name)
      return target[String(name)]
    },
  })
  const platform = openPlatform({ env, sink: () => undefined })
  for (const source of SOURCES.values()) platform.sourceSettings(source)
  for (const name of Object.keys(SCHEDULE_DEFAULTS)) schedule(env, name as keyof typeof SCHEDULE_DEFAULTS)
  return read
}

/** Read by the host and not by our code. */
const OF_THE_HOST = ['AzureWebJobsStorage__credential', 'AzureWebJobsStorage__tableServiceUri']

/** Read by the code, and for good reason not given in Azure. */
const NOT_IN_AZURE = [
  // Connection strings and passwords: there are identities.
  'AzureWebJobsStorage',
  'DATABASE_URL',
  'LAKE_STORAGE',
  // Of the job nightly alone.
  'TRIBUTARY_RAW_RETENTION',
  // Their defaults are right.
  'PGPORT',
  'PGSSLMODE',
  ...[...SOURCES.keys()].map((id) => `${id.toUpperCase()}_BASE_URL`),
  // Metadata is in the database of the ingests; docs/metadata.md says how it moves out.
  'METADATA_DATABASE_URL',
  'OPENLINEAGE_API_KEY',
  'OPENLINEAGE_DATASET_EVENTS',
  'OPENLINEAGE_URL',
  'METADATA_TOKEN_ENVIRONMENT',
  // The lake's account has no queue.
  'LAKE_STORAGE__queueServiceUri',
  // Given by the host.
  'AzureWebJobsScriptRoot',
  'WEBSITE_INSTANCE_ID',
  'WEBSITE_RESOURCE_GROUP',
  'WEBSITE_SITE_NAME',
  // Of the local stack.
  'TRIBUTARY_INSTANCE',
  // People are told from one place, which is the action group.
  'TRIBUTARY_ALERT_WEBHOOK_URL',
]

describe('settings', () => {
  const deployed = functionSettings(deployMain(EVERY_SOURCE))
  const example = record(readJson('local.settings.example.json').Values)

  test('that Bicep gives the functions are all read, and all that are read are given or have a reason', () => {
    const given = Object.keys(deployed).filter((name) => !OF_THE_HOST.includes(name))
    expect(sorted([...given, ...NOT_IN_AZURE])).toEqual(sorted(settingsRead()))
  })

  test('that Bicep gives the backfill job are those of the functions, but for what only timers and the host need', () => {
    const { env } = jobOf(deployJobs(EVERY_SOURCE), 'backfill')
    const forTriggers = (name: string) =>
      /_SCHEDULE$|^(TRIBUTARY|APPLICATIONINSIGHTS)_|^TELEMETRY$/.test(name) || OF_THE_HOST.includes(name)
    expect(sorted(Object.keys(env))).toEqual(sorted(Object.keys(deployed).filter((name) => !forTriggers(name))))
  })

  test('that Bicep gives the job migrate are those it reads', () => {
    const { env } = jobOf(deployJobs(), 'migrate')
    const own = readText('jobs/migrate.ts').match(/\bMIGRATE_[A-Z_]+(?=[,)\s])/g) ?? []
    const database = ['AZURE_CLIENT_ID', 'PGDATABASE', 'PGHOST', 'PGUSER']
    // Where Azure has its functions is the default.
    const read = own.filter((name) => name !== 'MIGRATE_MAINTENANCE_DATABASE')
    expect(sorted(Object.keys(env))).toEqual(sorted([...read, ...database]))
  })

  test('that Bicep gives the job nightly are those of the backfill without credentials, and how long raw is kept', () => {
    const names = (job: string) => Object.keys(jobOf(deployJobs(), job).env)
    expect(sorted(names('nightly'))).toEqual(sorted([...names('backfill'), 'TRIBUTARY_RAW_RETENTION']))
  })

  test('that both name have the value of the example in Azure too', () => {
    const both = Object.keys(deployed).filter(
      (name) => name in example && !/_KEY$|_KEY_ID$|^APPLICATIONINSIGHTS_/.test(name),
    )
    expect(both).toHaveLength(11)
    for (const name of both) expect({ [name]: deployed[name] }).toEqual({ [name]: example[name] })
  })

  test('of a source are its credentials, from the vault and only for a source that is chosen', () => {
    const credentials = [...SOURCES.values()].flatMap((source) => source.credentials)
    const references = Object.entries(deployed).filter(([, value]) => value.startsWith('@Microsoft.KeyVault('))
    expect(sorted(references.map(([name]) => name))).toEqual(sorted(credentials))
    expect(Object.keys(functionSettings(deployMain())).filter((name) => credentials.includes(name))).toEqual([])
  })

  test('of a source are asked for by main.parameters.json', () => {
    const { credentials } = record(readJson('infra/main.parameters.json').parameters)
    const asked = Object.keys(record(record(credentials).value))
    expect(sorted(asked)).toEqual(sorted([...SOURCES.values()].flatMap((source) => source.credentials)))
  })

  test('of azd that the templates read are all in the table of docs/deploy.md, and the other way round', () => {
    const table = [...readText('docs/deploy.md').matchAll(/^\| `([A-Z_]+)`/gm)].map(([, name = '']) => name)
    const variables = ['infra/main.parameters.json', 'infra/jobs.parameters.json'].flatMap(variablesOf)
    const outputs = Object.keys(deployMain().outputs)
    const byAzd = ['AZURE_ENV_NAME', 'AZURE_PRINCIPAL_ID', 'AZURE_PRINCIPAL_TYPE', 'SERVICE_JOBS_IMAGE_NAME']
    const people = variables.filter((name) => !outputs.includes(name) && !byAzd.includes(name))
    expect(sorted(table)).toEqual(sorted([...people, 'AZURE_LOCATION']))
  })
})

describe('queues, containers and tables', () => {
  const template = deployMain()
  let triggers: readonly Trigger[] = []
  beforeAll(async () => {
    triggers = await readTriggers()
  })
  const triggersOf = (type: string) =>
    triggers.filter(({ binding }) => binding.type === type).map(({ binding }) => binding)

  test('of the code are those that Bicep makes: queues', () => {
    const made = ofType(template, QUEUES).map(lastPart)
    expect(sorted(made)).toEqual(sorted(triggersOf('queueTrigger').map(({ queueName }) => text(queueName))))
  })

  test('every queue has its poison queue', () => {
    const names = ofType(template, QUEUES).map(lastPart)
    const own = names.filter((name) => !name.endsWith('-poison'))
    expect(sorted(names)).toEqual(sorted(own.flatMap((name) => [name, `${name}-poison`])))
  })

  test('of the code are those that Bicep makes: containers', () => {
    const lake = ofType(template, CONTAINERS).filter(({ name }) => name.startsWith('stlake'))
    expect(sorted(lake.map(lastPart))).toEqual(sorted(LAKE_CONTAINERS))
  })

  test('of the code are those that Bicep makes: tables', () => {
    expect(ofType(template, TABLES).map(lastPart)).toEqual([...LAKE_TABLES])
  })

  test('no function is bound to the account of the lake', () => {
    const connections = triggersOf('queueTrigger').map(({ connection }) => connection)
    expect(sorted(connections.map((name) => text(name)))).toEqual(['AzureWebJobsStorage'])
  })

  test('the status answers HTTP to whoever has its key, and only by reading; all else is the metadata service', () => {
    const http = triggersOf('httpTrigger')
    const [status, ...others] = http.filter(({ authLevel }) => authLevel !== 'anonymous')
    expect(status).toMatchObject({ route: 'status', methods: ['GET'], authLevel: 'function' })
    expect(others).toEqual([])
    const open = http.filter(({ authLevel }) => authLevel === 'anonymous').map(({ route }) => text(route))
    expect(sorted(open)).toEqual(sorted(ROUTES.map(({ path }) => `${ROUTE_PREFIX}${path}`)))
  })

  test('timers have the six fields of the schedule that their setting has in Azure', () => {
    const schedules = triggersOf('timerTrigger').map((binding) => text(binding.schedule))
    const deployed = functionSettings(template)
    const settings = Object.keys(SCHEDULE_DEFAULTS).map((name) => deployed[name] ?? 'none')
    expect(sorted(schedules)).toEqual(sorted(settings))
    for (const six of schedules) expect(six.split(' ')).toHaveLength(6)
  })
})
