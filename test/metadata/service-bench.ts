import { afterAll, beforeAll } from 'vitest'
import { compareRoutes, matchRoute, parseRoute } from '../../jobs/local/functions-host/route.ts'
import { MICROS_PER_DAY } from '../../shared/instant.ts'
import { type IoHook, withoutHook } from '../../shared/io-hook.ts'
import { createLog, type LogFields } from '../../shared/log/log.ts'
import { createAuthenticator } from '../../shared/metadata/access/authenticate.ts'
import { createTokenBudgets } from '../../shared/metadata/access/budget.ts'
import { createToken } from '../../shared/metadata/access/tokens.ts'
import { KINDS } from '../../shared/metadata/model/kinds.ts'
import type { MetadataRepository } from '../../shared/metadata/model/repository.ts'
import { createNameBook } from '../../shared/metadata/postgres/names.ts'
import { openPostgresRepository } from '../../shared/metadata/postgres/repository.ts'
import { kindBook, openKindRegistry } from '../../shared/metadata/registry/registry.ts'
import { createMetadataService, type MetadataService } from '../../shared/metadata/service/metadata-service.ts'
import { BASE_PATH } from '../../shared/metadata/service/request.ts'
import { ROUTES } from '../../shared/metadata/service/routes.ts'
import { type Database, openDatabase } from '../../shared/postgres/database.ts'
import { sha256Hex } from '../../shared/sha256.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { documentChecker } from './service-document.ts'
import { type ServedRoutes, serveRoutes } from './service-host.ts'

export type Asked = {
  /** JSON, or bytes as they are. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  /** Null: none. Absent: that may do everything. */
  readonly token?: string | null
}

export type Told = {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  // biome-ignore lint/suspicious/noExplicitAny: tests look into what the document has checked
  readonly body: any
}

const ALL = [
  'records:write:*',
  'records:read',
  'feed:read',
  'kinds:write',
  'guards:check',
  'guards:override',
  'tokens:admin',
]

const TEMPLATES = ROUTES.map(({ method, path }) => ({
  method,
  path,
  template: parseRoute(`${BASE_PATH}${path}`),
})).sort((a, b) => compareRoutes(a.template, b.template))

/** Call it at the top of a test file's describe. Every answer is checked against the OpenAPI document. */
export function useService() {
  const environment = useTestEnvironment()
  const logged: LogFields[] = []
  const log = createLog({ sink: (level, line) => logged.push({ level, ...line }), level: 'debug', secrets: [] })
  let hook: IoHook = withoutHook
  let db: Database
  let served: ServedRoutes
  let check: ReturnType<typeof documentChecker>
  const tokens = { ours: '', theirs: '' }
  const bench = {
    logged,
    announced: 0,
    nowOffset: 0n,
    ours: undefined as unknown as MetadataRepository,
    service: undefined as unknown as MetadataService,
    tokens,
    /** Of the service's database, from now on. */
    setHook(next: IoHook) {
      hook = next
    },
    get db() {
      return db
    },
    /** When statements whose names begin so have been answered so many times from now on. */
    after(statement: string, times = 1): Promise<void> {
      let left = times
      return new Promise((resolve) => {
        hook = async (operation, run) => {
          const answer = await run()
          if (operation.subject.startsWith(statement) && --left === 0) {
            hook = withoutHook
            resolve()
          }
          return answer
        }
      })
    },
    query: <Row>(text: string, values?: readonly unknown[]) =>
      db.query<Row>({ name: `test ${sha256Hex(text).slice(0, 16)}`, text }, values),
    async token(permissions: readonly string[] = ALL, producers: readonly string[] = ['*'], tenant = 'ours') {
      const expiresAt = BigInt(Date.now()) * 1_000n + MICROS_PER_DAY
      const given = { tenant, permissions, producers, expiresAt, createdBy: 'test' }
      return (await createToken(db, given, 'test')).token
    },
    async ask(method: string, path: string, { body, headers = {}, token = tokens.ours }: Asked = {}): Promise<Told> {
      const bytes = body instanceof Uint8Array || typeof body === 'string' ? body : JSON.stringify(body)
      const answer = await fetch(`${served.url}${path}`, {
        method,
        headers: {
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...(token !== null && { authorization: `Bearer ${token}` }),
          ...headers,
        },
        ...(bytes !== undefined && { body: bytes }),
      })
      const text = await answer.text()
      const { pathname } = new URL(`${served.url}${path}`)
      const route = TEMPLATES.find((one) => one.method === method && matchRoute(one.template, pathname))
      if (route === undefined) throw new Error(`${method} ${path}: expected a route, got none`)
      const told = {
        status: answer.status,
        headers: answer.headers,
        text,
        body: text === '' ? undefined : JSON.parse(text),
      }
      check({ ...told, method, path: route.path, contentType: answer.headers.get('content-type') })
      return told
    },
  }
  beforeAll(async () => {
    const connection = { kind: 'url' as const, url: environment.databaseUrl }
    db = openDatabase({ connection, connectionsMax: 2, applicationName: 'test' }, (operation, run) =>
      hook(operation, run),
    )
    const registry = openKindRegistry({ db, builtin: KINDS })
    const kinds = kindBook(registry)
    const store = { db, names: createNameBook(), kinds }
    const clock = () => BigInt(Date.now()) * 1_000n + bench.nowOffset
    const repositoryOf = (tenant: string) => openPostgresRepository({ store, environment: { tenant } })
    const service = createMetadataService({
      db,
      outboxDb: db,
      repositoryOf,
      kinds,
      registry,
      authenticate: createAuthenticator({ db, clock, tokenEnvironment: 'test' }),
      budgets: createTokenBudgets(db),
      tokenEnvironment: 'test',
      announce: async () => {
        bench.announced++
      },
      log,
      clock,
    })
    bench.ours = repositoryOf('ours')
    bench.service = service
    served = await serveRoutes(service)
    tokens.ours = await bench.token()
    tokens.theirs = await bench.token(ALL, ['*'], 'theirs')
    const document = await fetch(`${served.url}/openapi.json`, { headers: { authorization: `Bearer ${tokens.ours}` } })
    check = documentChecker(await document.json())
  })
  afterAll(async () => {
    await served?.close()
    await db?.close()
  })
  return bench
}
