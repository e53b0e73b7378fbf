import { z } from 'zod'
import { normalInstant } from './instant-text.ts'
import type { JsonObject } from './json-input.ts'

export const LINKS_MAX = 100
const CHARS_MAX = 256
/** Longer ones would not fit an index of their own. */
const KEY_BYTES_MAX = 256
const REVISION_MAX = 1_000_000

export const KIND_NAME = /^[a-z][a-z0-9_]{0,62}$/
export const TENANT_NAME = /^[a-z][a-z0-9-]{0,62}$/

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/

const name = z
  .string()
  .min(1)
  .max(CHARS_MAX)
  .refine((text) => !CONTROL.test(text), 'expected text without control characters')

/** Values were checked by `readJson` before. */
export const jsonObject = z
  .custom<JsonObject>(
    (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
    'expected an object',
  )
  .meta({ type: 'object' })

/** The physical artifact that a record describes. Source, schema and table identify it, case-sensitive. */
export const metadataTarget = z.strictObject({
  sourceId: name,
  schema: name,
  table: name,
  extras: jsonObject.optional(),
})

const environment = z.strictObject({
  cluster: name.optional(),
  workspace: name.optional(),
  tenant: z.string().regex(TENANT_NAME).optional(),
})

/** Who did it, where and as part of what: comes with every interaction and is no part of what is said. */
export const metadataContext = z.strictObject({
  jobId: name.optional(),
  runId: name.optional(),
  namespace: name,
  environment: environment.optional(),
  extras: jsonObject.optional(),
})

export const metadataLinks = z
  .strictObject({
    inputs: z.array(metadataTarget).optional(),
    outputs: z.array(metadataTarget).optional(),
    /** Runs whose records a baseline was made of. */
    baselineRuns: z.array(name).optional(),
    /** The run that this one is a part of. */
    parent: name.optional(),
  })
  .refine((links) => listed(links) < LINKS_MAX, `expected less than ${LINKS_MAX} links and a parent`)

/** One fact, as its producer hands it over. `key` names it where neither a run nor a window does. */
export const newMetadataRecord = z.strictObject({
  target: metadataTarget,
  context: metadataContext,
  kind: z.string().regex(KIND_NAME),
  kindVersion: z.string().regex(/^[1-9]\d{0,3}\.(0|[1-9]\d{0,3})$/),
  scope: z
    .string()
    .max(CHARS_MAX)
    .refine((text) => !CONTROL.test(text), 'expected text without control characters')
    .default(''),
  window: z
    .strictObject({ start: normalInstant, end: normalInstant })
    .refine(({ start, end }) => start < end, 'expected the start before the end')
    .optional(),
  payload: jsonObject,
  outcome: z.string().min(1).max(63).optional(),
  producedAt: normalInstant,
  producerId: name,
  revision: z.int().min(0).max(REVISION_MAX).default(0),
  quality: z.enum(['live', 'backfilled', 'estimated']).default('live'),
  links: metadataLinks.optional(),
  extras: jsonObject.optional(),
  key: z
    .string()
    .min(1)
    .refine((text) => Buffer.byteLength(text) <= KEY_BYTES_MAX, `expected at most ${KEY_BYTES_MAX} bytes`)
    .optional(),
  // The store gives the identity and the times; what a copied record brings is ignored.
  recordId: z.unknown().optional(),
  effectiveAt: z.unknown().optional(),
  storedAt: z.unknown().optional(),
})

export type MetadataTarget = z.output<typeof metadataTarget>
export type MetadataContext = z.output<typeof metadataContext>
export type MetadataLinks = z.output<typeof metadataLinks>
export type MetadataQuality = 'live' | 'backfilled' | 'estimated'

/** What `store` takes. Instants are RFC 3339 text. */
export type NewMetadataRecord = z.input<typeof newMetadataRecord>

/** With every default filled in and instants of fixed width. */
export type NormalRecord = Omit<z.output<typeof newMetadataRecord>, 'recordId' | 'effectiveAt' | 'storedAt'>

export type MetadataEnvironment = {
  readonly cluster?: string | undefined
  readonly workspace?: string | undefined
  readonly tenant: string
}

/** A stored fact, as every repository gives it. */
export type MetadataRecord = Omit<NormalRecord, 'context'> & {
  readonly recordId: string
  readonly context: Omit<MetadataContext, 'environment'> & { readonly environment: MetadataEnvironment }
  /** End of the window, else when it was produced: the order of a series. */
  readonly effectiveAt: string
  readonly storedAt: string
}

type Lists = {
  readonly inputs?: readonly unknown[] | undefined
  readonly outputs?: readonly unknown[] | undefined
  readonly baselineRuns?: readonly unknown[] | undefined
}

function listed({ inputs = [], outputs = [], baselineRuns = [] }: Lists): number {
  return inputs.length + outputs.length + baselineRuns.length
}
