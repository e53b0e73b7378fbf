import type { Command } from 'commander'
import { ConfigError } from '../../../shared/errors.ts'
import { selectStreams } from '../../../shared/ingest/plan/select-streams.ts'
import { selectIngests } from '../../../shared/ingest/state/ingest-ids.ts'
import { type Replayed, replayIngests } from '../../../shared/ingest/state/replay.ts'
import { readUnpublished, type UnpublishedIngest } from '../../../shared/ingest/state/unpublished.ts'
import { formatInstant } from '../../../shared/instant.ts'
import type { Platform } from '../../../shared/platform.ts'
import { type Cli, examples, onPlatform } from '../command.ts'
import { EXIT } from '../exit-codes.ts'

type ReplayOptions = { readonly stream?: string; readonly all?: true; readonly reason: string }

export function registerQuarantine(program: Command, cli: Cli): void {
  const quarantine = program.command('quarantine').description('ingests that failed and wait for a person')
  quarantine
    .command('list')
    .description('failed and quarantined ingests whose window nothing has published or accepted since')
    .argument('[stream]', 'name of a stream, * for any text', '*')
    .addHelpText('after', examples('tributary quarantine list', "tributary quarantine list 'alpaca/*' --json"))
    .action(
      onPlatform(cli, async ({ platform, out }, pattern: string) => {
        out.answer(await waitingOf(platform, pattern), showList)
        return undefined
      }),
    )
  quarantine
    .command('replay')
    .description('try again, from the raw pages where they are there, else from the provider')
    .argument('[ingest-id...]', 'ids as quarantine list shows them')
    .option('--stream <stream>', 'of this stream, * for any text; needs --all')
    .option('--all', 'every ingest that quarantine list shows of --stream')
    .requiredOption('--reason <text>', 'why it will work now; kept in the audit')
    .addHelpText(
      'after',
      examples(
        "tributary quarantine replay 01987c3e-0000-7000-8000-000000000000 --reason 'transform 2 reads it'",
        "tributary quarantine replay --stream alpaca/bars/TSLA/1d --all --reason 'the provider has mended it'",
      ),
    )
    .action(
      onPlatform(cli, async ({ platform, out, actor }, ids: readonly string[], options: ReplayOptions) => {
        const ingests = await toReplay(platform, ids, options)
        const replayed = await replayIngests(platform, { ingests, actor, reason: options.reason })
        out.answer(replayed, showReplayed)
        return replayed.some(({ outcome }) => outcome === 'refused') ? EXIT.failed : undefined
      }),
    )
}

async function waitingOf({ db }: Platform, pattern: string): Promise<readonly UnpublishedIngest[]> {
  const streamIds = (await selectStreams(db, pattern)).map(({ streamId }) => streamId)
  return readUnpublished(db, { streamIds, states: ['failed', 'quarantined'] })
}

async function toReplay(platform: Platform, ids: readonly string[], { stream, all }: ReplayOptions) {
  if (ids.length > 0 && stream === undefined && all === undefined) return selectIngests(platform.db, ids)
  if (ids.length === 0 && stream !== undefined && all) return waitingOf(platform, stream)
  const got = [ids.length > 0 ? `${ids.length} ids` : '', stream === undefined ? '' : '--stream', all ? '--all' : '']
  throw new ConfigError([
    `quarantine replay: expected ids of ingests, or --stream with --all, got ${got.filter(Boolean).join(' and ') || 'neither'}`,
  ])
}

function showList(ingests: readonly UnpublishedIngest[]): string {
  if (ingests.length === 0) return 'nothing waits'
  return ingests
    .map(({ sourceIngestId, stream, lane, state, lo, hi, subject, landed, finishedAt, errorClass, errorSummary }) =>
      [
        `${sourceIngestId}  ${stream}  ${lo === null || hi === null ? subject : `${formatInstant(lo)} … ${formatInstant(hi)}`}`,
        `  ${state}${finishedAt === null ? '' : ` since ${formatInstant(finishedAt)}`}, lane ${lane}; a replay ${landed ? 'reads its raw pages' : 'begins anew'}`,
        `  ${errorClass}: ${errorSummary}`,
      ].join('\n'),
    )
    .join('\n')
}

function showReplayed(replayed: readonly Replayed[]): string {
  if (replayed.length === 0) return 'nothing waits: there is nothing to replay'
  return replayed
    .map(({ sourceIngestId, stream, outcome, state, why }) =>
      outcome === 'replayed'
        ? `${sourceIngestId}  ${stream}  is ${state} again`
        : `${sourceIngestId}  ${stream}  ${outcome === 'needless' ? 'nothing to replay' : 'not replayed'}: ${why}`,
    )
    .join('\n')
}
