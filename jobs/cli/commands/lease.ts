import type { Command } from 'commander'
import { type BrokenLease, breakLease } from '../../../shared/ingest/state/break-lease.ts'
import { selectIngests } from '../../../shared/ingest/state/ingest-ids.ts'
import { readUnpublished, type UnpublishedIngest } from '../../../shared/ingest/state/unpublished.ts'
import { formatInstant } from '../../../shared/instant.ts'
import { table } from '../../table.ts'
import { type Cli, examples, onPlatform } from '../command.ts'

export function registerLease(program: Command, cli: Cli): void {
  const lease = program.command('lease').description("workers' holds on ingests")
  lease
    .command('list')
    .description('which worker holds which ingest until when, by the database clock')
    .addHelpText('after', examples('tributary lease list', 'tributary lease list --json'))
    .action(
      onPlatform(cli, async ({ platform, out }) => {
        const held = await readUnpublished(platform.db, { states: ['landing', 'curating'] })
        out.answer(held.map(describe), showList)
        return undefined
      }),
    )
  lease
    .command('break')
    .description('end a hold: the worker can change nothing any more, the next sweep takes the ingest over')
    .argument('<ingest-id>', 'id as lease list shows it')
    .requiredOption('--reason <text>', 'why; kept in the audit')
    .addHelpText(
      'after',
      examples("tributary lease break 01987c3e-0000-7000-8000-000000000000 --reason 'its host is gone'"),
    )
    .action(
      onPlatform(cli, async ({ platform, out, actor }, id: string, { reason }: { readonly reason: string }) => {
        const results: BrokenLease[] = []
        for (const ingest of await selectIngests(platform.db, [id])) {
          results.push(await breakLease(platform.db, { ingest, actor, reason }))
        }
        out.answer(results, (all) => all.map(showBroken).join('\n'))
        return undefined
      }),
    )
}

function describe(ingest: UnpublishedIngest) {
  const { sourceIngestId, stream, lane, state, epoch, attempts, claimedBy, leaseExpiresAt, leaseExpired } = ingest
  return { sourceIngestId, stream, lane, state, epoch, attempts, claimedBy, leaseExpiresAt, leaseExpired }
}

function showList(held: readonly ReturnType<typeof describe>[]): string {
  if (held.length === 0) return 'no worker holds an ingest'
  return table(
    ['ingest', 'stream', 'state', 'epoch', 'worker', 'until'],
    held.map(({ sourceIngestId, stream, state, epoch, claimedBy, leaseExpiresAt, leaseExpired }) => [
      sourceIngestId,
      stream,
      state,
      String(epoch),
      claimedBy ?? '',
      `${leaseExpiresAt === null ? '' : formatInstant(leaseExpiresAt)}${leaseExpired ? ' (expired: the sweep takes it)' : ''}`,
    ]),
  )
}

function showBroken({ sourceIngestId, claimedBy, epoch, changed }: BrokenLease): string {
  return changed
    ? `${sourceIngestId}  taken from ${claimedBy}, epoch ${epoch}; the next sweep takes it over`
    : `${sourceIngestId}  the lease of ${claimedBy} had run out already; the next sweep takes it over`
}
