import type { Platform } from '../../platform.ts'
import { closeAlert, openAlert } from '../alerts.ts'
import { checkCoverage, checkIngests } from './coverage.ts'
import type { Check, Checked, Finding, FindingKind } from './finding.ts'
import { checkCuratedBlobs, checkPartitions } from './partitions.ts'
import { checkRawPages } from './raw-pages.ts'

// Raw first: what can be repaired depends on it.
const CHECKS: readonly Check[] = [checkRawPages, checkIngests, checkCoverage, checkPartitions, checkCuratedBlobs]

export type FsckReport = {
  readonly checked: Checked
  /** How many of each kind are damage. */
  readonly damage: Readonly<Partial<Record<FindingKind, number>>>
  readonly explained: number
  readonly inFlight: number
  /** Damage, the first of it. */
  readonly findings: readonly Finding[]
  readonly leftOut: number
}

/** Findings that are kept; the rest is counted, and found again once the first are mended. */
const FINDINGS_MAX = 1_000
const FINDINGS_IN_ALERT = 10
const ALERT = { kind: 'fsck_mismatch', subject: 'lake' } as const

export type FsckOptions = {
  readonly deep: boolean
  readonly signal: AbortSignal
  readonly onFinding: (finding: Finding) => void
}

/**
 * Walks Postgres and the lake and says where they do not agree. Changes nothing but the alert `fsck_mismatch`, which is
 * open from the first run that finds damage to the first that finds none.
 */
export async function fsck(platform: Platform, { deep, signal, onFinding }: FsckOptions): Promise<FsckReport> {
  const checked = { pages: 0, ingests: 0, streams: 0, partitions: 0, blobs: 0 }
  const context = { platform, signal, deep, checked, damagedPages: new Set<string>(), brokenIngests: new Set<string>() }
  const damage: Partial<Record<FindingKind, number>> = {}
  const findings: Finding[] = []
  let [explained, inFlight, leftOut] = [0, 0, 0]
  for (const check of CHECKS) {
    for await (const finding of check(context)) {
      onFinding(finding)
      if (finding.weight === 'explained') explained++
      else if (finding.weight === 'in_flight') inFlight++
      else {
        damage[finding.kind] = (damage[finding.kind] ?? 0) + 1
        if (findings.length < FINDINGS_MAX) findings.push(finding)
        else leftOut++
      }
    }
  }
  const report = { checked, damage, explained, inFlight, findings, leftOut }
  await setAlert(platform, report)
  return report
}

async function setAlert({ db }: Platform, { damage, findings }: FsckReport): Promise<void> {
  if (findings.length === 0) return closeAlert(db, ALERT.kind, ALERT.subject)
  const first = findings.slice(0, FINDINGS_IN_ALERT).map(({ kind, place }) => ({ kind, place }))
  await openAlert(db, { ...ALERT, severity: 'critical', detail: { ...damage, first } })
}
