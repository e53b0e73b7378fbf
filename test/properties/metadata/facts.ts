import { parseInstant } from '../../../shared/instant.ts'
import { checkRecord } from '../../../shared/metadata/model/check.ts'
import type { CheckedRecord } from '../../../shared/metadata/model/identity.ts'
import { instantText } from '../../../shared/metadata/model/instant-text.ts'
import { KINDS } from '../../../shared/metadata/model/kinds.ts'
import type { NewMetadataRecord } from '../../../shared/metadata/model/record.ts'
import { counted } from '../../metadata/fact.ts'

/** What a producer says, in small integers. Times are days. */
export type Said = {
  readonly tenant: number
  readonly fact: number
  readonly revision: number
  readonly content: number
  readonly produced: number
}

/** The same as the product takes it, with key and content from the product's own functions. */
export type Fact = Said & {
  readonly checked: CheckedRecord
  /** Its tenant, target, kind and scope. */
  readonly series: string
  readonly window: Window | null
}

type Window = { readonly start: number; readonly end: number }

export const TENANTS = ['ours', 'theirs'] as const

type Shape = {
  readonly table: number
  readonly run?: string
  readonly key?: string
  readonly window: (revision: number) => Window | null
}

const always = (start: number, end: number) => () => ({ start, end })

/** Few of them, so that writers meet. */
const SHAPES: readonly Shape[] = [
  { table: 0, run: 'a', window: always(0, 1) },
  // The same window as another run saw it: told apart by when it was said.
  { table: 0, run: 'b', window: always(0, 1) },
  { table: 0, run: 'c', window: always(1, 2) },
  // Without a window: its time is when it was said, and a correction moves it.
  { table: 0, run: 'd', window: () => null },
  // A caller's key names it, so that a correction may say another window.
  { table: 1, key: 'k', window: (revision) => (revision === 0 ? { start: 1, end: 2 } : { start: 0, end: 1 }) },
  { table: 1, run: 'a', window: always(0, 2) },
]

export const FACTS = SHAPES.length
export const REVISIONS = 3
export const CONTENTS = 2
export const PRODUCED = 4

const known = new Map<number, Fact>()

export function factOf(said: Said): Fact {
  const { tenant, fact, revision, content, produced } = said
  const place = (((tenant * FACTS + fact) * REVISIONS + revision) * CONTENTS + content) * PRODUCED + produced
  const made = known.get(place) ?? make(said)
  known.set(place, made)
  return made
}

function make(said: Said): Fact {
  const { revision, produced } = said
  const shape = SHAPES[said.fact]
  const tenant = TENANTS[said.tenant]
  if (shape === undefined || tenant === undefined) throw new Error(`fact ${said.fact} of ${said.tenant}: expected one`)
  const window = shape.window(revision)
  const record: NewMetadataRecord = {
    target: { sourceId: 'source', schema: 'schema', table: `t${shape.table}` },
    context: { namespace: 'model', ...(shape.run && { runId: shape.run }) },
    kind: 'ingestion_volume',
    kindVersion: '1.0',
    ...(shape.key && { key: shape.key }),
    ...(window && { window: { start: textOf(window.start), end: textOf(window.end) } }),
    payload: counted(numberOf(said)),
    producedAt: textOf(produced),
    producerId: 'model.v1',
    revision,
  }
  const now = parseInstant(textOf(1_000)) ?? 0n
  const result = checkRecord(record, { kinds: KINDS, environment: { tenant }, now })
  if (!result.ok) throw new Error(`fact of the model: expected a record, got ${result.problem.detail}`)
  return { ...said, checked: { ...result.checked }, series: `${tenant}/t${shape.table}`, window }
}

/** The number that rolls up: other content, other number. */
export function numberOf({ revision, content }: Pick<Said, 'revision' | 'content'>): number {
  return revision * CONTENTS + content + 1
}

function textOf(day: number): string {
  return instantText(BigInt(Date.UTC(2025, 0, 1 + day)) * 1_000n)
}

export function nameOf({ checked }: Fact): string {
  return `${checked.tenant}/${checked.key.slice(0, 6)}`
}
