import type { Command } from 'commander'
import { selectStreams } from '../../../shared/ingest/plan/select-streams.ts'
import { type Verdict, verifyPartitions } from '../../../shared/ingest/repair/verify.ts'
import { verifyHashes } from '../../../shared/ingest/repair/verify-hashes.ts'
import { count } from '../../table.ts'
import { type Cli, examples, onPlatform } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import { countValue } from '../option-values.ts'

type VerifyOptions = { readonly rebuild?: true; readonly sample?: number }

/** Files that are named in the answer; all are on standard error as they come. */
const SHOWN_MAX = 1_000

export function registerVerify(program: Command, cli: Cli): void {
  program
    .command('verify')
    .description('compare every curated file with what Postgres says of it, or with what its raw pages make')
    .argument('[stream]', 'name of a stream, * for any text', '*')
    .option('--rebuild', 'make each file again from raw, in memory, and compare bytes')
    .option('--sample <n>', 'only so many files, others every time', countValue)
    .addHelpText(
      'after',
      examples(
        'tributary verify',
        'tributary verify --rebuild --sample 100',
        "tributary verify 'alpaca/*' --rebuild --json",
      ),
    )
    .action(
      onPlatform(cli, async ({ platform, out, signal }, pattern: string, { rebuild, sample }: VerifyOptions) => {
        const streams = pattern === '*' ? null : await selectStreams(platform.db, pattern)
        const selection = {
          ...(streams === null ? {} : { streamIds: streams.map(({ streamId }) => streamId) }),
          ...(sample === undefined ? {} : { sample }),
        }
        const verify = rebuild ? verifyPartitions : verifyHashes
        const counts = { same: 0, pending: 0, 'other-version': 0, different: 0 }
        const others: Verdict[] = []
        for await (const verdict of verify(platform, signal, selection)) {
          counts[verdict.kind]++
          out.progress('verified', verdict, `${verdict.kind} ${verdict.path}`)
          if (verdict.kind !== 'same' && others.length < SHOWN_MAX) others.push(verdict)
        }
        out.answer({ rebuild: rebuild ?? false, counts, notSame: others }, () => show(counts, others))
        return counts.different > 0 ? EXIT.failed : undefined
      }),
    )
}

function show(counts: Readonly<Record<Verdict['kind'], number>>, others: readonly Verdict[]): string {
  const lines = [
    Object.entries(counts)
      .map(([kind, number]) => `${count(number)} ${kind}`)
      .join(', '),
  ]
  for (const verdict of others) {
    if (verdict.kind === 'different') {
      const { path, expected, found, detail } = verdict
      lines.push(
        `${path}: ${detail ?? `expected sha256 ${expected}, got ${found ?? 'no file'}`}`,
        '  tributary fsck --repair-plan says what mends it',
      )
    } else if (verdict.kind === 'other-version') {
      lines.push(
        `${verdict.path}: made by transform version ${verdict.transformVersion}; tributary reprocess makes it again`,
      )
    } else if (verdict.kind === 'pending') {
      lines.push(`${verdict.path}: an ingest or a rebuild of it is not published yet`)
    }
  }
  return lines.join('\n')
}
