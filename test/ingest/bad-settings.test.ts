import { BlobServiceClient } from '@azure/storage-blob'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Environment } from '../../shared/config/environment.ts'
import { parseSettings } from '../../shared/config/settings.ts'
import { ConfigError } from '../../shared/errors.ts'
import { ingestsOf, QUICK, statusesOf } from '../conformance/source-fixtures.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { openWorkbench } from '../support/workbench.ts'

const KEY = 'c2VjcmV0LWFjY291bnQta2V5LW9mLXRlc3RzCg=='
const STORAGE = `DefaultEndpointsProtocol=https;AccountName=lake;AccountKey=${KEY};EndpointSuffix=core.windows.net`
const SAS = 'BlobEndpoint=https://lake.blob.core.windows.net;SharedAccessSignature=sv=2024-11-04&sig=secret'
const GOOD = { DATABASE_URL: 'postgres://me:secret@db:5432/tributary', AzureWebJobsStorage: STORAGE }
const ENTRA = { AzureWebJobsStorage: STORAGE, PGHOST: 'db', PGDATABASE: 'tributary', PGUSER: 'me' }
const without = (part: string) => STORAGE.replace(new RegExp(`${part}=[^;]*;?`), '')

/** Connection strings that the storage client refuses at its first use, and what is said of them before. */
const BAD_STORAGE: readonly (readonly [text: string, got: string])[] = [
  ['AccountName=;', 'a text without AccountName or BlobEndpoint'],
  ['AccountName=lake', 'one without DefaultEndpointsProtocol, AccountKey, EndpointSuffix'],
  [without('AccountKey'), 'one without AccountKey'],
  [without('EndpointSuffix'), 'one without EndpointSuffix'],
  [without('DefaultEndpointsProtocol'), 'one without DefaultEndpointsProtocol'],
  [STORAGE.replace(KEY, '%%%'), 'one whose AccountKey is no base64'],
  [STORAGE.replace('=https;', '=ftp;'), 'one whose DefaultEndpointsProtocol is neither http nor https'],
  ['BlobEndpoint=lake;SharedAccessSignature=sig', 'one whose BlobEndpoint is no address'],
  ['BlobEndpoint=https://lake.blob.core.windows.net', 'one without DefaultEndpointsProtocol, AccountName, AccountKey'],
]

const BAD: readonly (readonly [what: string, env: Environment, ...problems: string[]])[] = [
  [
    'a lake that is both a connection string and an identity',
    { ...GOOD, LAKE_STORAGE: SAS, LAKE_STORAGE__blobServiceUri: 'https://lake.blob.core.windows.net' },
    'LAKE_STORAGE: expected a connection string or LAKE_STORAGE__blobServiceUri, got both',
  ],
  [
    'a service of another protocol',
    { ...GOOD, LAKE_STORAGE__blobServiceUri: 'ftp://lake' },
    'LAKE_STORAGE: expected a service address such as https://<account>.blob.core.windows.net, got "ftp://lake"',
  ],
  [
    'an identity whose host storage has no queues',
    { DATABASE_URL: GOOD.DATABASE_URL, AzureWebJobsStorage__blobServiceUri: 'https://host.blob.core.windows.net' },
    'AzureWebJobsStorage__queueServiceUri: expected a service address beside __blobServiceUri, got none',
  ],
  [
    'a database password with a % that stands for nothing',
    { ...GOOD, DATABASE_URL: 'postgres://me:100%safe@db/tributary' },
    'DATABASE_URL: expected percent-encoded utf-8 (%25 where a % means itself), got another %',
  ],
  [
    'a port in another notation',
    { ...ENTRA, PGPORT: '0x1538' },
    'PGPORT: expected a port from 1 to 65535, got "0x1538"',
  ],
  ['a port of nothing', { ...ENTRA, PGPORT: '0' }, 'PGPORT: expected a port from 1 to 65535, got "0"'],
]

describe('I8 bad input is loud: settings', () => {
  const environment = useTestEnvironment()

  test.each(BAD_STORAGE.map(([text, got]) => [got, text] as const))(
    'a connection string that is %s is refused, by the client too',
    (got, text) => {
      const problem = `AzureWebJobsStorage: expected a storage connection string, got ${got}`
      expect(problemsOf({ ...GOOD, AzureWebJobsStorage: text })).toEqual([problem])
      expect(() => BlobServiceClient.fromConnectionString(text)).toThrow()
    },
  )

  test.each([STORAGE, SAS, 'UseDevelopmentStorage=true'])(
    'a whole connection string is taken, by the client too (%#)',
    (text) => {
      expect(problemsOf({ ...GOOD, AzureWebJobsStorage: text })).toEqual([])
      expect(() => BlobServiceClient.fromConnectionString(text)).not.toThrow()
    },
  )

  test.each(BAD.map(([what, env, ...problems]) => ({ what, env, problems })))(
    '$what: refused, and the problem says what was expected',
    ({ env, problems }) => {
      expect(problemsOf(env)).toEqual(problems)
    },
  )

  // They are known only where a source is asked: every other stream goes on.
  test.each<[what: string, setting: string, value: string, error: RegExp]>([
    ['an address that is none', 'ALPACA_BASE_URL', 'data.alpaca', /: expected an absolute http or https url$/],
    ['an address of another protocol', 'ALPACA_BASE_URL', 'file:///etc', /: expected an absolute http or https url$/],
    [
      'an address with a password',
      'ALPACA_BASE_URL',
      'http://me:pw@x',
      /: expected no user and password in it, got some$/,
    ],
    [
      'a key of two lines',
      'ALPACA_KEY_ID',
      'first\nsecond',
      /: expected header apca-api-key-id to be one line of latin text/,
    ],
    [
      'a key that no header can carry',
      'ALPACA_SECRET_KEY',
      'schlüßel→',
      /: expected header apca-api-secret-key to be one/,
    ],
  ])(
    '%s: nobody is asked, the attempt is given back and the error names no secret',
    async (_what, name, value, error) => {
      const databaseUrl = await environment.newDatabase()
      const services = { databaseUrl, storageConnectionString: environment.newStorageAccount(), http: QUICK }
      const bench = await openWorkbench({ ...services, env: { [name]: value } })
      onTestFinished(() => bench.close())
      await bench.plan()
      expect(await bench.drain()).toEqual(['given-back'])
      const [ingest] = await ingestsOf(bench)
      expect(ingest).toEqual({ state: 'planned', epoch: 1, error: expect.stringMatching(error) })
      expect(ingest?.error).toMatch(/^ConfigError: /)
      if (name !== 'ALPACA_BASE_URL') expect(ingest?.error).not.toContain(value)
      expect(ingest?.error).not.toContain('pw')
      expect(statusesOf(bench)).toEqual([])

      const mended = await openWorkbench(services)
      onTestFinished(() => mended.close())
      await mended.settle()
      expect(await ingestsOf(mended)).toMatchObject([{ state: 'published', epoch: 3, records: 500 }])
    },
  )
})

function problemsOf(env: Environment): readonly string[] {
  try {
    parseSettings(env)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  return []
}
