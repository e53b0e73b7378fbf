import { z } from 'zod'
import {
  jsonObject,
  LINKS_MAX,
  metadataContext,
  metadataLinks,
  metadataTarget,
  newMetadataRecord,
} from '../../model/record.ts'
import { problemDocument } from './problem.ts'

/** Fixed width, UTC, microseconds. */
export const instantOut = z.string().meta({ format: 'date-time' })

const name = z.string().min(1).max(256)

/** A target by its names alone. */
export const targetName = metadataTarget.omit({ extras: true })

// What is read is open: a later version may add to it.
const targetOut = z.object(metadataTarget.shape)
const linksOut = z.object({
  ...metadataLinks.shape,
  inputs: z.array(targetOut).optional(),
  outputs: z.array(targetOut).optional(),
})
const contextOut = z.object({
  ...metadataContext.shape,
  environment: z.object({ cluster: z.string().optional(), workspace: z.string().optional(), tenant: z.string() }),
})

/** A stored fact, as every repository gives it. */
export const metadataRecord = z
  .object({
    recordId: z.uuid(),
    target: targetOut,
    context: contextOut,
    kind: z.string(),
    kindVersion: z.string(),
    scope: z.string(),
    window: z.object({ start: instantOut, end: instantOut }).optional(),
    payload: jsonObject.describe('as the version of the kind says; unknown properties are to be ignored'),
    outcome: z.string().optional(),
    producedAt: instantOut,
    producerId: z.string(),
    revision: z.int().min(0),
    quality: z.enum(['live', 'backfilled', 'estimated']),
    links: linksOut.optional().describe(`at most ${LINKS_MAX}`),
    extras: jsonObject.optional(),
    key: z.string().optional(),
    effectiveAt: instantOut.describe('end of the window, else when it was produced'),
    storedAt: instantOut,
  })
  .meta({ id: 'MetadataRecord' })

export const newRecord = newMetadataRecord.meta({
  id: 'NewMetadataRecord',
  description: 'One fact. It names a run, a window or a key. What a stored record has besides is ignored.',
})

export const BATCH_RECORDS_MAX = 500

/** What is sent: each record is judged by itself, so that none takes the others with it. */
export const newRecords = z.strictObject({ records: z.array(newRecord).max(BATCH_RECORDS_MAX) })
export const uncheckedRecords = z.strictObject({ records: z.array(z.unknown()) })

export const stored = z.object({ outcome: z.literal('stored'), recordId: z.uuid() })
export const replayed = z.object({ outcome: z.literal('replayed'), recordId: z.uuid() })

export const storeResult = z.discriminatedUnion('outcome', [
  stored,
  replayed,
  z.object({ outcome: z.literal('refused'), problem: problemDocument }),
])
export type StoreAnswer = z.output<typeof storeResult>

export const storeResults = z.object({ results: z.array(storeResult).describe('in the order of the records') })

/** One series, in a body. */
export const seriesBody = z.strictObject({ target: targetName, kind: name, scope: z.string().max(256).default('') })

export const SERIES_MAX = 500
export const latestQuery = z.strictObject({ series: z.array(seriesBody).max(SERIES_MAX) })

const history = z
  .object({
    href: z.string().describe('where the records of the series are listed, newest first'),
    hotSince: z
      .string()
      .nullable()
      .meta({ format: 'date' })
      .describe('what was stored before this day (UTC) is in compacted files, unless it is the latest; null: nothing'),
  })
  .meta({ id: 'History' })

export const latestRecord = z.object({
  record: metadataRecord,
  changeNo: z.int().describe('grows whenever another record becomes the latest'),
  history,
})
export type LatestAnswer = z.output<typeof latestRecord>

export const latestResults = z.object({
  results: z
    .array(
      z.discriminatedUnion('outcome', [
        z.object({ outcome: z.literal('found'), ...latestRecord.shape }),
        z.object({ outcome: z.enum(['no-record', 'unknown-kind']) }),
      ]),
    )
    .describe('in the order of the series'),
})

export const recordPage = z.object({
  records: z.array(metadataRecord).describe('newest first, by effective time'),
  next: z.string().nullable().describe('cursor of the next page; null: there are no more'),
  compacted: z.array(z.string()).describe('files that hold older records of this kind and range'),
})

export const feedPage = z.object({
  records: z.array(metadataRecord).describe('in the order of the feed; some may come again'),
  next: z.string().describe('cursor to go on from, also where there were none'),
  end: z.boolean().describe('nothing that can be read yet is behind `next`'),
})
