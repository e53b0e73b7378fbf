import type { Environment } from './environment.ts'

/** Where PostgreSQL is: a URL with everything in it, or a host that is entered with an Entra token. */
export type DatabaseTarget =
  | { readonly kind: 'url'; readonly url: string }
  | {
      readonly kind: 'entra'
      readonly host: string
      readonly port: number
      readonly database: string
      readonly user: string
      /** Of the user-assigned identity whose token is used; undefined: the default one. */
      readonly clientId: string | undefined
      readonly tls: boolean
    }

/** Exactly one of `DATABASE_URL` and `PGHOST` (with `PGDATABASE`, `PGUSER`). `PGSSLMODE=disable` turns TLS off. */
export function parseDatabaseTarget(env: Environment, report: (problem: string) => void): DatabaseTarget | undefined {
  const { DATABASE_URL: url, PGHOST: host, PGDATABASE: database, PGUSER: user } = env
  if (url && host) {
    report('DATABASE_URL, PGHOST: expected exactly one of the two, got both')
    return undefined
  }
  if (url) {
    if (!/^postgres(ql)?:\/\//.test(url) || !URL.canParse(url)) {
      report('DATABASE_URL: expected postgres://user:password@host:port/database, got another text')
      return undefined
    }
    if (isDecodable(url)) return { kind: 'url', url }
    report('DATABASE_URL: expected percent-encoded utf-8 (%25 where a % means itself), got another %')
    return undefined
  }
  if (!host) {
    report('DATABASE_URL: expected a postgres:// address, or PGHOST, PGDATABASE and PGUSER, got neither')
    return undefined
  }
  for (const [name, value] of Object.entries({ PGDATABASE: database, PGUSER: user })) {
    if (!value) report(`${name}: expected a name because PGHOST is set, got none`)
  }
  const sslMode = env.PGSSLMODE || 'require'
  if (sslMode !== 'require' && sslMode !== 'disable') {
    report(`PGSSLMODE: expected require or disable, got "${sslMode}"`)
  }
  const portText = env.PGPORT || '5432'
  const port = Number(portText)
  if (!/^\d+$/.test(portText) || port < 1 || port > 65_535) {
    report(`PGPORT: expected a port from 1 to 65535, got "${env.PGPORT}"`)
  }
  if (!database || !user) return undefined
  return {
    kind: 'entra',
    host,
    port,
    database,
    user,
    clientId: env.AZURE_CLIENT_ID || undefined,
    tls: sslMode !== 'disable',
  }
}

/** A password that was put in as it is: the driver would throw at its first connection. */
function isDecodable(url: string): boolean {
  try {
    decodeURIComponent(url)
    return true
  } catch {
    return false
  }
}
