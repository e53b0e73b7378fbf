import { resolve } from 'node:path'
import { type DatabaseTarget, parseDatabaseTarget } from './database-target.ts'
import type { Environment } from './environment.ts'

/** Where metadata records are kept. */
export type MetadataPlace =
  /** Null: in the database of the ingests. */
  | { readonly kind: 'postgres'; readonly database: DatabaseTarget | null }
  /** A folder; null: the container `metadata` of the lake. */
  | { readonly kind: 'embedded'; readonly dir: string | null }
  /** Another deployment's service. */
  | { readonly kind: 'remote'; readonly url: string; readonly token: string }

export type MetadataSettings = {
  readonly place: MetadataPlace
  /** Whose records this deployment writes. */
  readonly tenant: string
  /** Of every record's context: where it was produced, as far as the host says. */
  readonly cluster: string | undefined
  readonly workspace: string | undefined
  /** Stands in every token of the service: one of another environment is refused without a look-up. */
  readonly tokenEnvironment: string
  /** Who is told as OpenLineage events; undefined: nobody. */
  readonly openLineage: OpenLineageSettings | undefined
}

export type OpenLineageSettings = {
  readonly url: string
  readonly apiKey: string | undefined
  /** Not every receiver takes events about a dataset alone. */
  readonly datasetEvents: boolean
}

/** Whose Entra tokens the service takes, besides its own. */
export type EntraSettings = { readonly tenantId: string; readonly audience: string }

/** Of the HTTP service. */
export type ServiceSettings = {
  readonly place: MetadataPlace & { readonly kind: 'postgres' }
  readonly entra: EntraSettings | undefined
  readonly tokenEnvironment: string
}

const KINDS = ['embedded', 'postgres', 'remote'] as const
const TENANT = /^[a-z][a-z0-9-]{0,62}$/

export function parseMetadataSettings(
  env: Environment,
  report: (problem: string) => void,
): MetadataSettings | undefined {
  const tenant = env.METADATA_TENANT || 'default'
  if (!TENANT.test(tenant)) {
    report(`METADATA_TENANT: expected up to 63 of a-z, 0-9 and -, a letter first, got "${tenant}"`)
  }
  const tokenEnvironment = parseTokenEnvironment(env, report)
  const place = parsePlace(env, report)
  if (place === undefined) return undefined
  return {
    place,
    tenant,
    cluster: env.WEBSITE_SITE_NAME || undefined,
    workspace: env.WEBSITE_RESOURCE_GROUP || undefined,
    tokenEnvironment,
    openLineage: parseOpenLineage(env, report),
  }
}

function parseOpenLineage(env: Environment, report: (problem: string) => void): OpenLineageSettings | undefined {
  const { OPENLINEAGE_URL: url, OPENLINEAGE_API_KEY: apiKey, OPENLINEAGE_DATASET_EVENTS: events = '' } = env
  if (!['', 'true', 'false'].includes(events)) {
    report(`OPENLINEAGE_DATASET_EVENTS: expected true or false, got "${events}"`)
  }
  if (!url) return undefined
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    report(`OPENLINEAGE_URL: expected an http or https address, got "${url}"`)
  }
  return { url, apiKey: apiKey || undefined, datasetEvents: events === 'true' }
}

export function parseServiceSettings(env: Environment, report: (problem: string) => void): ServiceSettings | undefined {
  const place = parsePlace(env, report)
  const entra = parseEntraSettings(env, report)
  const tokenEnvironment = parseTokenEnvironment(env, report)
  if (place?.kind === 'postgres') return { place, entra, tokenEnvironment }
  if (place) report(`METADATA_REPOSITORY: expected postgres, which the service needs, got ${place.kind}`)
  return undefined
}

/** `<env>` in the tokens of this deployment: `trb_<env>_…`. */
function parseTokenEnvironment(env: Environment, report: (problem: string) => void): string {
  const text = env.METADATA_TOKEN_ENVIRONMENT || 'live'
  if (!/^[a-z0-9-]{1,32}$/.test(text)) {
    report(`METADATA_TOKEN_ENVIRONMENT: expected up to 32 of a-z, 0-9 and -, got "${text}"`)
  }
  return text
}

/** Both or neither of the two settings. */
function parseEntraSettings(env: Environment, report: (problem: string) => void): EntraSettings | undefined {
  const { METADATA_ENTRA_TENANT_ID: tenantId, METADATA_ENTRA_AUDIENCE: audience } = env
  if (!tenantId && !audience) return undefined
  if (tenantId && audience) return { tenantId, audience }
  report('METADATA_ENTRA_TENANT_ID, METADATA_ENTRA_AUDIENCE: expected both or neither, got one')
  return undefined
}

function parsePlace(env: Environment, report: (problem: string) => void): MetadataPlace | undefined {
  const kind = KINDS.find((name) => name === (env.METADATA_REPOSITORY || 'postgres'))
  switch (kind) {
    case 'postgres':
      return parseDatabase(env, report)
    case 'embedded':
      return { kind, dir: env.METADATA_DIR ? resolve(env.METADATA_DIR) : null }
    case 'remote':
      return parseRemote(env, report)
    default:
      report(`METADATA_REPOSITORY: expected one of ${KINDS.join(', ')}, got "${env.METADATA_REPOSITORY}"`)
      return undefined
  }
}

function parseDatabase(env: Environment, report: (problem: string) => void): MetadataPlace | undefined {
  const url = env.METADATA_DATABASE_URL
  if (!url) return { kind: 'postgres', database: null }
  const database = parseDatabaseTarget({ DATABASE_URL: url }, (problem) =>
    report(problem.replace('DATABASE_URL', 'METADATA_DATABASE_URL')),
  )
  return database && { kind: 'postgres', database }
}

function parseRemote(env: Environment, report: (problem: string) => void): MetadataPlace | undefined {
  const { METADATA_URL: url, METADATA_TOKEN: token } = env
  if (!url || !URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    report(`METADATA_URL: expected the http or https address of a metadata service, got "${url ?? ''}"`)
    return undefined
  }
  if (!token) {
    report('METADATA_TOKEN: expected a token because METADATA_REPOSITORY is remote, got none')
    return undefined
  }
  return { kind: 'remote', url: url.replace(/\/+$/, ''), token }
}
