import type { MetadataRecord } from '../../../../shared/metadata/model/record.ts'
import { table } from '../../../table.ts'
import { targetText } from './options.ts'

/** All of a record, for a person. */
export function showRecord(record: MetadataRecord): string {
  const { kind, kindVersion, target, scope, context, window, outcome, quality, producerId, revision } = record
  const facts: readonly (readonly [string, string | undefined])[] = [
    ['scope', scope || undefined],
    ['outcome', outcome],
    ['effective', shortInstant(record.effectiveAt)],
    ['window', window && `${shortInstant(window.start)} … ${shortInstant(window.end)}`],
    ['produced', `${shortInstant(record.producedAt)} by ${producerId}${quality === 'live' ? '' : `, ${quality}`}`],
    ['stored', shortInstant(record.storedAt)],
    ['run', context.runId],
    ['job', context.jobId],
    ['record', `${record.recordId}${revision === 0 ? '' : `, revision ${revision}`}`],
    ['payload', JSON.stringify(record.payload)],
    ['extras', record.extras && JSON.stringify(record.extras)],
    ['links', record.links && JSON.stringify(record.links)],
  ]
  const lines = facts.flatMap(([name, text]) => (text === undefined ? [] : [`  ${name.padEnd(9)}  ${text}`]))
  return [`${kind} ${kindVersion} of ${targetText(target)}`, ...lines].join('\n')
}

/** One line each. */
export function showRecords(records: readonly MetadataRecord[]): string {
  return table(['effective', 'kind', 'target', 'outcome', 'revision', 'run', 'record'], records.map(cellsOf))
}

function cellsOf({ effectiveAt, kind, target, scope, outcome, revision, context, recordId }: MetadataRecord) {
  return [
    shortInstant(effectiveAt),
    kind,
    scope === '' ? targetText(target) : `${targetText(target)} ${scope}`,
    outcome ?? '',
    String(revision),
    context.runId ?? '',
    recordId,
  ]
}

/** Records have instants of fixed width. */
export function shortInstant(text: string): string {
  return text.replace('.000000Z', 'Z')
}
