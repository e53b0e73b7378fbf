import { resolve } from 'node:path'
import type { StorageAccount } from '../azure/storage-account.ts'
import { ConfigError } from '../errors.ts'
import { LOG_LEVELS, type LogLevel } from '../log/log.ts'
import { type DatabaseTarget, parseDatabaseTarget } from './database-target.ts'
import type { Environment } from './environment.ts'
import { type MetadataSettings, parseMetadataSettings } from './metadata-settings.ts'
import { secretsOf } from './secrets.ts'
import { hasStorage, parseStorageAccount } from './storage-setting.ts'

export type Settings = {
  readonly hostStorage: StorageAccount
  readonly lakeStorage: StorageAccount
  readonly database: DatabaseTarget
  readonly metadata: MetadataSettings
  readonly streamsFile: string
  readonly leaseSeconds: number
  /** A transient failure becomes a quarantine after this many attempts over this long; both must be reached. */
  readonly quarantineAttempts: number
  readonly quarantineSeconds: number
  /** Days after which raw pages go to the archive, by source; others stay for ever. */
  readonly rawRetentionDays: ReadonlyMap<string, number>
  readonly logLevel: LogLevel
  readonly alertWebhookUrl: string | undefined
  /** Where spans are sent; undefined: nowhere. */
  readonly telemetry: TelemetrySettings | undefined
  /** Values that must never be logged. */
  readonly secrets: readonly string[]
}

/** Of Application Insights; without a client id whoever knows the connection string may write. */
export type TelemetrySettings = { readonly connectionString: string; readonly clientId: string | undefined }

/** Where a provider is and how we prove who we are; `missing` names the settings that are not there. */
export type SourceSettings = {
  readonly baseUrl: string
  readonly credentials: Readonly<Record<string, string>>
  readonly missing: readonly string[]
}

export const SCHEDULE_DEFAULTS = {
  PLAN_SCHEDULE: '0 */5 * * * *',
  SWEEP_SCHEDULE: '30 * * * * *',
  LOOKBACK_SCHEDULE: '0 30 3 * * *',
} as const

// Deployed before its Key Vault reference resolved: the text itself must never be used as a secret.
const UNRESOLVED = '@Microsoft.KeyVault('
const RAW_RETENTION_DAYS_MIN = 7

/** Reads every setting and reports all problems together. */
export function parseSettings(env: Environment): Settings {
  const problems: string[] = []
  const report = (problem: string) => void problems.push(problem)
  for (const [name, value] of Object.entries(env)) {
    if (value?.startsWith(UNRESOLVED))
      report(`${name}: expected a value, got a key vault reference that did not resolve`)
  }
  const hostStorage = parseStorageAccount(env, 'AzureWebJobsStorage', report)
  const lakeStorage = hasStorage(env, 'LAKE_STORAGE') ? parseStorageAccount(env, 'LAKE_STORAGE', report) : hostStorage
  if (hostStorage?.kind === 'identity' && hostStorage.queueServiceUri === undefined) {
    report('AzureWebJobsStorage__queueServiceUri: expected a service address beside __blobServiceUri, got none')
  }
  const database = parseDatabaseTarget(env, report)
  const metadata = parseMetadataSettings(env, report)
  const settings = {
    // The Functions host names the app's folder; elsewhere it is the working directory.
    streamsFile: resolve(env.AzureWebJobsScriptRoot || '.', env.TRIBUTARY_STREAMS || 'streams.json'),
    leaseSeconds: wholeNumber(env, 'TRIBUTARY_LEASE_SECONDS', { fallback: 60, min: 3, max: 3600 }, report),
    quarantineAttempts: wholeNumber(env, 'TRIBUTARY_QUARANTINE_ATTEMPTS', { fallback: 10, min: 1, max: 1000 }, report),
    quarantineSeconds: wholeNumber(
      env,
      'TRIBUTARY_QUARANTINE_SECONDS',
      { fallback: 86_400, min: 0, max: 31_536_000 },
      report,
    ),
    rawRetentionDays: rawRetention(env, report),
    logLevel: logLevel(env, report),
    alertWebhookUrl: url(env, 'TRIBUTARY_ALERT_WEBHOOK_URL', report),
    telemetry: telemetry(env, report),
    secrets: secretsOf(env),
  }
  if (problems.length > 0 || !hostStorage || !lakeStorage || !database || !metadata) throw new ConfigError(problems)
  return { ...settings, hostStorage, lakeStorage, database, metadata }
}

/** A source's own settings are named after it: `<SOURCE>_BASE_URL` and its credentials. */
export function sourceSettings(
  env: Environment,
  source: { readonly id: string; readonly baseUrl: string; readonly credentials: readonly string[] },
): SourceSettings {
  const credentials: Record<string, string> = {}
  for (const name of source.credentials) {
    const value = env[name]
    if (value) credentials[name] = value
  }
  const baseUrl = (env[`${source.id.toUpperCase()}_BASE_URL`] || source.baseUrl).replace(/\/+$/, '')
  return { baseUrl, credentials, missing: source.credentials.filter((name) => credentials[name] === undefined) }
}

/** Schedule of a timer, NCRONTAB with six fields. */
export function schedule(env: Environment, name: keyof typeof SCHEDULE_DEFAULTS): string {
  return env[name] || SCHEDULE_DEFAULTS[name]
}

function wholeNumber(
  env: Environment,
  name: string,
  { fallback, min, max }: { readonly fallback: number; readonly min: number; readonly max: number },
  report: (problem: string) => void,
): number {
  const text = env[name]
  if (!text) return fallback
  const value = Number(text)
  if (!/^\d+$/.test(text) || value < min || value > max) {
    report(`${name}: expected a whole number from ${min} to ${max}, got "${text}"`)
  }
  return value
}

/** `alpaca=400d,fred=730d`: none is shorter than a week, so that nobody's typing error empties raw. */
function rawRetention(env: Environment, report: (problem: string) => void): ReadonlyMap<string, number> {
  const days = new Map<string, number>()
  for (const part of (env.TRIBUTARY_RAW_RETENTION || '').split(',').filter((text) => text.trim() !== '')) {
    const [, source, number] = /^\s*([a-z][a-z0-9_-]*)=(\d{1,5})d\s*$/.exec(part) ?? []
    if (source === undefined || Number(number) < RAW_RETENTION_DAYS_MIN) {
      const expected = `source=days such as alpaca=400d, at least ${RAW_RETENTION_DAYS_MIN}d, separated by commas`
      report(`TRIBUTARY_RAW_RETENTION: expected ${expected}, got "${part}"`)
    } else days.set(source, Number(number))
  }
  return days
}

function telemetry(env: Environment, report: (problem: string) => void): TelemetrySettings | undefined {
  const mode = env.TELEMETRY || 'off'
  if (mode === 'off') return undefined
  const { APPLICATIONINSIGHTS_CONNECTION_STRING: connectionString, APPLICATIONINSIGHTS_AUTHENTICATION_STRING: as } = env
  if (mode !== 'otel') report(`TELEMETRY: expected off or otel, got "${mode}"`)
  if (!connectionString)
    report('APPLICATIONINSIGHTS_CONNECTION_STRING: expected one because TELEMETRY is otel, got none')
  const [, clientId] = /ClientId=([^;]+)/.exec(as ?? '') ?? []
  return connectionString ? { connectionString, clientId } : undefined
}

export function logLevel(env: Environment, report: (problem: string) => void): LogLevel {
  const text = env.TRIBUTARY_LOG_LEVEL || 'info'
  const level = LOG_LEVELS.find((name) => name === text)
  if (!level) report(`TRIBUTARY_LOG_LEVEL: expected one of ${LOG_LEVELS.join(', ')}, got "${text}"`)
  return level ?? 'info'
}

function url(env: Environment, name: string, report: (problem: string) => void): string | undefined {
  const text = env[name]
  if (!text) return undefined
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) {
    report(`${name}: expected an http or https address, got "${text}"`)
  }
  return text
}
