import type { NewMetadataRecord } from '../../shared/metadata/model/record.ts'
import { counted } from '../metadata/fact.ts'

export const TARGETS = 450

/** Of one kibibyte as JSON, like those of an ingest: `number` names a fact of its own. */
export function benchRecord(number: number): NewMetadataRecord {
  const day = Math.floor(number / TARGETS)
  const start = new Date(Date.UTC(2015, 0, 1) + day * 86_400_000)
  return {
    target: benchTarget(number % TARGETS),
    context: {
      namespace: 'ingest',
      jobId: 'alpaca/bars',
      runId: `0192f0c1-0000-7000-8000-${number.toString(16).padStart(12, '0')}`,
    },
    kind: 'ingestion_volume',
    kindVersion: '1.0',
    window: { start: start.toISOString(), end: new Date(start.getTime() + 86_400_000).toISOString() },
    payload: {
      ...counted(390 + (number % 7)),
      bytes: 40_000 + number,
      pages: 1,
      files: 1,
      filter: { symbol: `S${number % TARGETS}`, timeframe: '1m', adjustment: 'raw', feed: 'sip', limit: 10_000 },
      watermark: { before: start.toISOString(), after: new Date(start.getTime() + 86_400_000).toISOString() },
    },
    producedAt: new Date(start.getTime() + 90_000_000).toISOString(),
    producerId: 'ingestion.v1',
    links: { outputs: [benchTarget(number % TARGETS)] },
    extras: { lane: 'live', note: 'x'.repeat(230), transformVersion: 3, writerVersion: 2, pages: [number] },
  }
}

export function benchTarget(number: number) {
  return { sourceId: 'alpaca', schema: 'bars', table: `S${number}/1m` }
}
