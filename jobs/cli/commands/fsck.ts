import type { Command } from 'commander'
import { ConfigError } from '../../../shared/errors.ts'
import type { Finding } from '../../../shared/ops/fsck/finding.ts'
import { type FsckReport, fsck } from '../../../shared/ops/fsck/fsck.ts'
import { type RepairResult, type RepairStep, repair, repairPlan } from '../../../shared/ops/fsck/repair.ts'
import { count } from '../../table.ts'
import { type Cli, examples, onPlatform } from '../command.ts'
import { EXIT } from '../exit-codes.ts'

type FsckOptions = { readonly deep?: true; readonly repairPlan?: true; readonly repair?: true }

const ROUNDS_MAX = 3

export function registerFsck(program: Command, cli: Cli): void {
  program
    .command('fsck')
    .description('find where Postgres and the lake do not agree: raw pages, coverage, counts, curated files')
    .option('--deep', 'read and hash every blob, not only its size and metadata')
    .option('--repair-plan', 'say what would mend it, step by step')
    .option('--repair', 'do the steps that need no person, all from raw, and look again')
    .addHelpText(
      'after',
      examples(
        'tributary fsck',
        'tributary fsck --deep --json',
        'tributary fsck --repair-plan',
        'tributary fsck --repair',
      ),
    )
    .action(
      onPlatform(cli, async ({ platform, out, signal, actor }, options: FsckOptions) => {
        if (options.repair && options.repairPlan) {
          throw new ConfigError(['fsck: expected --repair or --repair-plan, got both'])
        }
        const look = () =>
          fsck(platform, {
            deep: options.deep ?? false,
            signal,
            onFinding: (finding) =>
              out.progress('finding', finding, `${finding.weight} ${finding.kind} ${finding.place}`),
          })
        const found = await look()
        const steps = repairPlan(found.findings)
        if (!options.repair) {
          const plan = options.repairPlan ? { steps } : {}
          out.answer({ ...found, ...plan }, () =>
            [showReport(found), ...(options.repairPlan ? [showSteps(steps)] : [])].join('\n'),
          )
          return found.findings.length > 0 ? EXIT.failed : undefined
        }
        const onDone = (result: RepairResult) => out.progress('repaired', result, showResult(result))
        const results: RepairResult[] = []
        let left = found
        // Files can be made again once the rows of their raw pages are there.
        for (let round = 0; round < ROUNDS_MAX; round++) {
          const mended = await repair(platform, repairPlan(left.findings), { actor, signal, onDone })
          if (mended.length === 0) break
          results.push(...mended)
          left = await look()
          if (!mended.some(({ done }) => done)) break
        }
        out.answer({ found, repairs: results, left }, () =>
          [showReport(found), ...results.map(showResult), '', 'and now:', showReport(left)].join('\n'),
        )
        return left.findings.length > 0 ? EXIT.failed : undefined
      }),
    )
}

function showReport({ checked, damage, explained, inFlight, findings, leftOut }: FsckReport): string {
  const { pages, ingests, streams, partitions, blobs } = checked
  const lines = [
    `looked at ${count(pages)} raw pages, ${count(ingests)} ingests, ${count(streams)} streams, ${count(partitions)} partitions, ${count(blobs)} blobs`,
    ...findings.map(showFinding),
  ]
  if (leftOut > 0) lines.push(`and ${count(leftOut)} more`)
  if (explained > 0) lines.push(`${count(explained)} raw blobs of attempts that never landed: no damage`)
  if (inFlight > 0) lines.push(`${count(inFlight)} are being written`)
  const kinds = Object.entries(damage).map(([kind, number]) => `${count(number)} ${kind}`)
  lines.push(kinds.length === 0 ? 'no damage' : `damage: ${kinds.join(', ')}`)
  return lines.join('\n')
}

function showFinding({ kind, place, detail, repair, advice }: Finding): string {
  const mend = repair === null ? advice : 'tributary fsck --repair mends it'
  return `${kind} ${place}\n  ${detail}${mend === null ? '' : `\n  ${mend}`}`
}

function showSteps(steps: readonly RepairStep[]): string {
  if (steps.length === 0) return 'nothing to repair'
  return ['repair plan:', ...steps.map((step, index) => `${index + 1}. ${showStep(step)}`)].join('\n')
}

function showStep(step: RepairStep): string {
  if (step.kind === 'restore_pages') {
    return `write ${step.paths.length} lost rows of raw pages of ingest ${step.sourceIngestId} again from their blobs (--repair)`
  }
  if (step.kind === 'rebuild_partition') return `make ${step.partitionKey} again from its raw pages (--repair)`
  return `by hand: ${step.place}: ${step.advice}`
}

function showResult({ step, done, detail }: RepairResult): string {
  return `${done ? 'done' : 'not done'}: ${showStep(step)}: ${detail}`
}
