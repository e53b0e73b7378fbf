import type { NewMetadataRecord } from '../../shared/metadata/model/record.ts'

export const TARGET = { sourceId: 'alpaca', schema: 'bars', table: 'TSLA/1d' }

export const COUNTS = {
  records: 10,
  inserted: 7,
  updated: 1,
  unchanged: 1,
  superseded: 0,
  rejected: 1,
  outside: 0,
}

/** A volume of one day and one run, unless `fields` say otherwise. */
export function volume(day: number, fields: Partial<NewMetadataRecord> = {}): NewMetadataRecord {
  const date = (at: number) => new Date(Date.UTC(2024, 0, 1 + at)).toISOString()
  return {
    target: TARGET,
    context: { namespace: 'ingest', runId: `run-${day}` },
    kind: 'ingestion_volume',
    kindVersion: '1.0',
    window: { start: date(day), end: date(day + 1) },
    payload: COUNTS,
    producedAt: new Date(Date.UTC(2025, 0, 1, 0, day)).toISOString(),
    producerId: 'test.v1',
    ...fields,
  }
}

/** A payload of the same shape with another number of records. */
export function counted(records: number): NewMetadataRecord['payload'] {
  return { ...COUNTS, records, inserted: records, updated: 0, unchanged: 0, rejected: 0 }
}
