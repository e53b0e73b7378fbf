import type { Command } from 'commander'
import { type Cancelled, cancelIngest } from '../../../shared/ingest/state/cancel.ts'
import { selectIngests } from '../../../shared/ingest/state/ingest-ids.ts'
import { type Cli, examples, onPlatform } from '../command.ts'

export function registerIngest(program: Command, cli: Cli): void {
  const ingest = program.command('ingest').description('single ingests')
  ingest
    .command('cancel')
    .description('take active ingests back: planned, landing, or landed and in no curated file yet')
    .argument('<ingest-id...>', 'ids as status and coverage show them')
    .requiredOption('--reason <text>', 'why; kept with the ingest and in the audit')
    .addHelpText(
      'after',
      `
The planner plans the window again at its next tick, unless its stream is paused; coverage accept then leaves it out for good.
What failed is not cancelled but replayed (quarantine replay) or accepted (coverage accept).
${examples("tributary ingest cancel 01987c3e-0000-7000-8000-000000000000 --reason 'wrong window'")}`,
    )
    .action(
      onPlatform(
        cli,
        async ({ platform, out, actor }, ids: readonly string[], { reason }: { readonly reason: string }) => {
          const results: Cancelled[] = []
          for (const ingest of await selectIngests(platform.db, ids)) {
            results.push(await cancelIngest(platform.db, { ingest, actor, reason }))
          }
          out.answer(results, show)
          return undefined
        },
      ),
    )
}

function show(results: readonly Cancelled[]): string {
  return results
    .map(({ sourceIngestId, stream, changed }) => `${sourceIngestId}  ${stream}  ${changed ? 'is' : 'was'} cancelled`)
    .join('\n')
}
