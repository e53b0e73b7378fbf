import { describe, expect, test } from 'vitest'
import { parseSettings } from '../../shared/config/settings.ts'
import { invocationSink } from '../../shared/log/invocation-sink.ts'
import { createLog, type LogFields, type LogLevel } from '../../shared/log/log.ts'

const ACCOUNT_KEY = 'c2VjcmV0LWFjY291bnQta2V5LW9mLXRlc3RzCg=='
const SIGNATURE = 'sAsS1gnatur3%2Fof%2Ftests%3D'
const ENV = {
  DATABASE_URL: 'postgres://me:p%40ssw0rd-of-tests@db:5432/tributary',
  METADATA_DATABASE_URL: 'postgres://me@db/metadata?password=query-passw0rd',
  PGPASSWORD: 'pg-passw0rd',
  AzureWebJobsStorage: `DefaultEndpointsProtocol=https;AccountName=host;AccountKey=${ACCOUNT_KEY};EndpointSuffix=core.windows.net`,
  LAKE_STORAGE: `BlobEndpoint=https://lake.blob.core.windows.net;SharedAccessSignature=sv=2024-11-04&ss=b&sig=${SIGNATURE}`,
  ALPACA_KEY_ID: 'AK-provider-key-id',
  ALPACA_SECRET_KEY: 'provider-secret',
  MASSIVE_KEY: 'provider-secret-and-more',
  METADATA_TOKEN: 'metadata-token-of-tests',
  TRIBUTARY_ALERT_WEBHOOK_URL: 'https://hooks.example/services/T0/B0/wEbH00k',
}
const SECRETS = [
  'p%40ssw0rd-of-tests',
  'p@ssw0rd-of-tests',
  'query-passw0rd',
  'pg-passw0rd',
  ACCOUNT_KEY,
  SIGNATURE,
  'AK-provider-key-id',
  'provider-secret',
  'provider-secret-and-more',
  'metadata-token-of-tests',
  'https://hooks.example/services/T0/B0/wEbH00k',
]

describe('a log line', () => {
  test.each(SECRETS)('never shows the secret %s, wherever it stands', (secret) => {
    const error = new Error(`GET https://x/?key=${secret} failed`, { cause: new Error(secret) })
    const line = textOf((log) =>
      log.error(`event ${secret}`, {
        text: `before ${secret} after`,
        nested: { deep: [{ list: [secret, `${secret}${secret}`] }] },
        error,
        inside: { error },
      }),
    )
    expect(line).not.toContain(secret)
    expect(line).toContain('before')
  })

  test('a secret that begins another leaves nothing of it behind', () => {
    expect(textOf((log) => log.info('x', { text: 'provider-secret-and-more' }))).toBe(
      '{"event":"x","text":"[redacted]"}',
    )
  })

  test.each([
    'password',
    'PGPASSWORD',
    'client_secret',
    'accessToken',
    'apiKey',
    'api_key',
    'api-key',
    'keyId',
    'AccountKey',
    'Authorization',
    'credentials',
    'connectionString',
    'sig',
  ])('never shows the value of %s, whatever it is', (key) => {
    const fields = { [key]: 'plain', nested: { [key]: { id: 'plain' } }, list: [{ [key]: 42 }] }
    const line = textOf((log) => log.info('x', fields))
    expect(line).not.toMatch(/plain|42/)
    expect(line.match(/\[redacted\]/g)).toHaveLength(3)
  })

  test('shows what is no secret as it is', () => {
    const fields = {
      partition_key: 'p',
      source_ingest_id: '0192',
      stream: 'a/b',
      epoch: 3,
      at: 12n,
      none: null,
      monkey: 'k',
    }
    expect(textOf((log) => log.info('landed', fields))).toBe(
      '{"event":"landed","partition_key":"p","source_ingest_id":"0192","stream":"a/b","epoch":3,"at":"12","none":null,"monkey":"k"}',
    )
  })

  test('of an error shows its stack', () => {
    expect(textOf((log) => log.error('x', { error: new TypeError('oh') }))).toMatch(/"TypeError: oh\\n +at /)
  })

  test('of something that contains itself ends', () => {
    const circle: Record<string, unknown> = {}
    circle.self = circle
    expect(textOf((log) => log.info('x', { circle }))).toContain('[too deep]')
  })

  test('below the level is not written', () => {
    const lines = linesOf('warn', (log) => {
      log.debug('a')
      log.info('b')
      log.warn('c')
      log.error('d')
    })
    expect(lines.map(([level, { event }]) => [level, event])).toEqual([
      ['warn', 'c'],
      ['error', 'd'],
    ])
  })

  test('carries the fields of the log it is written to, and its own win', () => {
    const [line] = linesOf('info', (log) =>
      log.with({ run_id: 1, job: 'a' }).with({ epoch: 2 }).info('x', { job: 'b' }),
    )
    expect(line?.[1]).toEqual({ event: 'x', run_id: 1, job: 'b', epoch: 2 })
  })

  test('of an invocation goes to its context as one line of json, at its level', () => {
    const written: string[] = []
    const write = (level: string) => (line: string) => void written.push(`${level} ${line}`)
    const context = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
    createLog({ sink: invocationSink(context), level: 'info', secrets: [] }).warn('late', { stream: 'a\nb' })
    expect(written).toEqual(['warn {"event":"late","stream":"a\\nb"}'])
  })
})

function linesOf(level: LogLevel, write: (log: ReturnType<typeof createLog>) => void) {
  const lines: [LogLevel, LogFields][] = []
  write(createLog({ sink: (at, line) => lines.push([at, line]), level, secrets: parseSettings(ENV).secrets }))
  return lines
}

function textOf(write: (log: ReturnType<typeof createLog>) => void): string {
  return linesOf('debug', write)
    .map(([, line]) => JSON.stringify(line))
    .join('\n')
}
