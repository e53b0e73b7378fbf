import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { ConfigError, toError } from '../../../shared/errors.ts'
import { type SelectedStream, selectStreams } from '../../../shared/ingest/plan/select-streams.ts'
import { parseStreamFile } from '../../../shared/ingest/plan/stream-file.ts'
import { applyStreamsByPerson } from '../../../shared/ingest/state/apply-by-person.ts'
import { freeStream, holdStream } from '../../../shared/ingest/state/hold.ts'
import { pauseStream, resumeStream } from '../../../shared/ingest/state/pause.ts'
import { formatInstant } from '../../../shared/instant.ts'
import { table } from '../../table.ts'
import { type Cli, examples, onPlatform } from '../command.ts'

export function registerStreams(program: Command, cli: Cli): void {
  const streams = program.command('streams').description('what is pulled')
  streams
    .command('list')
    .description('every stream with its place in time')
    .argument('[stream]', 'name of a stream, * for any text', '*')
    .addHelpText('after', examples('tributary streams list', "tributary streams list 'alpaca/*' --json"))
    .action(
      onPlatform(cli, async ({ platform, out }, pattern: string) => {
        out.answer((await selectStreams(platform.db, pattern)).map(describe), showList)
        return undefined
      }),
    )
  streams
    .command('apply')
    .description('make the streams of a file those of the database: write new and changed ones, pause those not listed')
    .argument('[file]', 'streams file (default: TRIBUTARY_STREAMS)')
    .addHelpText('after', examples('tributary streams apply', 'tributary streams apply streams.json'))
    .action(
      onPlatform(cli, async ({ platform, out, actor }, file: string | undefined) => {
        const path = file ?? platform.settings.streamsFile
        const text = await readFile(path, 'utf8').catch((error) => {
          throw new ConfigError([`streams file: expected to read ${path}, got ${toError(error).message}`])
        })
        const parsed = parseStreamFile(text, platform.sources)
        const applied = await applyStreamsByPerson(platform.db, { streams: parsed, path, actor })
        out.answer({ file: path, streams: parsed.length, ...applied }, ({ streams, written, paused }) =>
          [`${path}: ${streams} streams, ${written} written, ${paused} paused`].join('\n'),
        )
        return undefined
      }),
    )
  for (const [verb, description, change, done, not] of [
    ['pause', 'plan and claim nothing of a stream any more', pauseStream, 'paused', 'was paused already'],
    ['resume', 'go on with a stream', resumeStream, 'resumed', 'was not paused'],
    ['hold', 'go on landing, and curate nothing of a stream', holdStream, 'held', 'was held already'],
    ['free', 'curate what landed while a stream was held', freeStream, 'freed', 'was not held'],
  ] as const) {
    streams
      .command(verb)
      .description(description)
      .argument('<stream>', 'name of a stream, * for any text')
      .requiredOption('--reason <text>', 'why; kept with the stream and in the audit')
      .addHelpText('after', examples(`tributary streams ${verb} alpaca/bars/TSLA/1d --reason 'new key'`))
      .action(
        onPlatform(cli, async ({ platform, out, actor }, pattern: string, { reason }: { reason: string }) => {
          const results: { stream: string; changed: boolean }[] = []
          for (const stream of await selectStreams(platform.db, pattern)) {
            results.push({ stream: stream.name, changed: await change(platform.db, { stream, reason, actor }) })
          }
          out.answer(results, (all) => all.map(({ stream, changed }) => `${stream} ${changed ? done : not}`).join('\n'))
          return undefined
        }),
      )
  }
}

function describe(stream: SelectedStream) {
  const { name, params, origin, until, intervalS, paused, pausedReason, heldReason } = stream
  return { stream: name, params, origin, until, everySeconds: intervalS, paused, pausedReason, heldReason }
}

function showList(streams: readonly ReturnType<typeof describe>[]): string {
  return table(
    ['stream', 'origin', 'until', 'every', 'state'],
    streams.map(({ stream, origin, until, everySeconds, paused, pausedReason, heldReason }) => [
      stream,
      formatInstant(origin),
      until === null ? 'now' : formatInstant(until),
      everySeconds === null ? 'import' : `${everySeconds}s`,
      paused ? `paused: ${pausedReason}` : heldReason === null ? 'runs' : `held: ${heldReason}`,
    ]),
  )
}
