import { z } from 'zod'
import { canonicalJson, sample } from '../../json.ts'
import type { Database, Queryable } from '../../postgres/database.ts'
import { sha256Hex } from '../../sha256.ts'
import type { JsonObject } from '../model/json-input.ts'
import { fieldErrors } from '../model/problem.ts'
import { KIND_NAME } from '../model/record.ts'
import { kindBehaviour, rollupErrors } from './behaviour.ts'
import { type JudgedVersion, type Judgement, judgeVersion } from './judge.ts'
import { behaviourOf, publishedOf, versionOf } from './kind-rows.ts'
import {
  COUNT_OTHER_KINDS,
  KIND_VERSIONS,
  type KindVersionRow,
  LOCK_KINDS,
  PUBLISH_KIND_VERSION,
  WRITE_KIND_VERSION,
} from './kind-statements.ts'
import type {
  KindVersion,
  NewKindVersion,
  Registration,
  RegistryRefused,
  RegistryResult,
  VersionDifference,
} from './kind-version.ts'
import { incompatible, invalid, refused, unknownKind, unknownVersion } from './registry-problem.ts'
import { readSchema } from './schema.ts'
import { formatVersion, parseVersion, type VersionNumber } from './version-number.ts'

/** All of them are held in memory, and compared with one another. */
const KINDS_MAX = 200
const VERSIONS_MAX = 100

const newKindVersion = z.object({
  kind: z.string().regex(KIND_NAME, `expected ${KIND_NAME.source}`),
  version: z.string().transform((text, context) => {
    const version = parseVersion(text)
    if (version !== null) return version
    context.addIssue({ code: 'custom', message: `expected major.minor, got ${sample(text, 20)}` })
    return z.NEVER
  }),
  behaviour: kindBehaviour.prefault({}),
  state: z.enum(['draft', 'published']).default('published'),
})

type Candidate = JudgedVersion & {
  readonly kind: string
  readonly state: 'draft' | 'published'
  readonly json: JsonObject
  readonly sha256: string
}

export type RegisterOptions = { readonly createdBy: string; readonly dryRun?: boolean }

export function registerKind(
  db: Database,
  input: NewKindVersion,
  { createdBy, dryRun = false }: RegisterOptions,
): Promise<RegistryResult<Registration>> {
  const read = readCandidate(input)
  if (!read.ok) return Promise.resolve(read)
  if (dryRun) return tryOut(db, read.value)
  return db.transaction(async (tx) => {
    await tx.query(LOCK_KINDS)
    return register(tx, read.value, createdBy)
  })
}

function readCandidate(input: NewKindVersion): RegistryResult<Candidate> {
  const parsed = newKindVersion.safeParse(input)
  const schema = readSchema(input.schema, ['schema'])
  const errors = [
    ...(parsed.success ? [] : fieldErrors(parsed.error, [])),
    ...(schema.ok ? [] : schema.errors),
    ...(parsed.success && schema.ok ? rollupErrors(parsed.data.behaviour, schema.root, ['behaviour']) : []),
  ]
  if (!parsed.success || !schema.ok || errors.length > 0) return invalid(errors)
  const { kind, version, behaviour, state } = parsed.data
  const sha256 = sha256Hex(canonicalJson(schema.json))
  return { ok: true, value: { kind, ...version, behaviour, state, schema: schema.root, json: schema.json, sha256 } }
}

async function register(tx: Queryable, candidate: Candidate, createdBy: string): Promise<RegistryResult<Registration>> {
  const { kind, major, minor, state, json, sha256, behaviour } = candidate
  const rows = await tx.query<KindVersionRow>(KIND_VERSIONS, [kind])
  const existing = alreadyThere(rows, candidate)
  if (existing !== null) return existing
  const tooMany = await limitRefusal(tx, rows, kind)
  if (tooMany !== null) return tooMany
  const { refusal, differences } = judge(rows, candidate)
  if (refusal !== null) return incompatible(kind, refusal, differences)
  const values = [kind, major, minor, JSON.stringify(json), sha256, JSON.stringify(behaviour), state, createdBy]
  const [row] = await tx.query<KindVersionRow>(WRITE_KIND_VERSION, values)
  if (row === undefined) throw new Error(`kind ${kind} ${formatVersion(candidate)}: expected to be written, got no row`)
  return { ok: true, value: registration({ differences, version: versionOf(row), created: true }) }
}

async function tryOut(db: Queryable, candidate: Candidate): Promise<RegistryResult<Registration>> {
  const rows = await db.query<KindVersionRow>(KIND_VERSIONS, [candidate.kind])
  const existing = alreadyThere(rows, candidate)
  if (existing !== null) return existing
  const { refusal, differences } = judge(rows, candidate)
  const value = registration({ differences, version: null, created: false })
  return { ok: true, value: { ...value, accepted: refusal === null, detail: refusal } }
}

function registration(parts: {
  readonly differences: readonly VersionDifference[]
  readonly version: KindVersion | null
  readonly created: boolean
}): Registration {
  return { accepted: true, detail: null, ...parts }
}

/** What is published is what it is: the same again is answered with it. Null: it may be written. */
function alreadyThere(rows: readonly KindVersionRow[], candidate: Candidate): RegistryResult<Registration> | null {
  const row = rows.find((one) => isVersion(one, candidate))
  if (row === undefined || row.state === 'draft') return null
  const same =
    row.schemaSha256 === candidate.sha256 && canonicalJson(behaviourOf(row)) === canonicalJson(candidate.behaviour)
  if (same) return { ok: true, value: registration({ differences: [], version: versionOf(row), created: false }) }
  const version = formatVersion(candidate)
  const detail = `kind ${row.kind} ${version}: expected what is ${row.state} as this version, got another schema or behaviour`
  return refused('schema-immutable', detail)
}

function judge(rows: readonly KindVersionRow[], candidate: JudgedVersion): Judgement {
  const published = rows.map(publishedOf).filter((version) => version !== null)
  return judgeVersion(published, candidate)
}

async function limitRefusal(
  tx: Queryable,
  rows: readonly KindVersionRow[],
  kind: string,
): Promise<RegistryRefused | null> {
  const tooMany = (what: string, max: number) =>
    invalid([{ pointer: '/kind', code: 'too-many', detail: `expected at most ${max} ${what}, got another` }])
  if (rows.length >= VERSIONS_MAX) return tooMany('versions of a kind', VERSIONS_MAX)
  if (rows.length > 0) return null
  const [others] = await tx.query<{ kinds: number }>(COUNT_OTHER_KINDS, [kind])
  return (others?.kinds ?? 0) >= KINDS_MAX ? tooMany('registered kinds', KINDS_MAX) : null
}

/** A draft is judged once more: others may have been published since. */
export function publishKind(db: Database, kind: string, version: string): Promise<RegistryResult<KindVersion>> {
  return db.transaction(async (tx) => {
    await tx.query(LOCK_KINDS)
    const rows = await tx.query<KindVersionRow>(KIND_VERSIONS, [kind])
    if (rows.length === 0) return unknownKind(kind)
    const number = parseVersion(version)
    const row = number === null ? undefined : rows.find((one) => isVersion(one, number))
    if (row === undefined) return unknownVersion(kind, version)
    if (row.state !== 'draft') return { ok: true, value: versionOf(row) }
    const schema = readSchema(row.schema)
    if (!schema.ok) return invalid(schema.errors)
    const { major, minor } = row
    const { refusal, differences } = judge(rows, { major, minor, schema: schema.root, behaviour: behaviourOf(row) })
    if (refusal !== null) return incompatible(kind, refusal, differences)
    const [published] = await tx.query<KindVersionRow>(PUBLISH_KIND_VERSION, [kind, major, minor])
    if (published === undefined) throw new Error(`kind ${kind} ${version}: expected to be published, got no row`)
    return { ok: true, value: versionOf(published) }
  })
}

function isVersion(one: VersionNumber, other: VersionNumber): boolean {
  return one.major === other.major && one.minor === other.minor
}
