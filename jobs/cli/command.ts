import type { Command } from 'commander'
import type { Platform } from '../../shared/platform.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { createOutput, type Output, type Streams } from './output.ts'
import { openSession } from './session.ts'

/** What a command works with. */
export type CommandContext = {
  readonly platform: Platform
  readonly out: Output
  /** Aborted by SIGINT and SIGTERM. */
  readonly signal: AbortSignal
  /** Who does it, for the audit. */
  readonly actor: string
}

export type Cli = {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly streams: Streams
  readonly signal: AbortSignal
  /** Ends the process with this code once the command is through. */
  readonly exitWith: (code: ExitCode) => void
  /** Services that are open already: tests run many commands on them. */
  readonly platform?: Platform
}

/**
 * The action of a command: opens the services, does `work`, closes them. `work` returns the exit code, nothing for 0;
 * what it throws is explained by the program.
 */
export function onPlatform<Args extends readonly unknown[]>(
  cli: Cli,
  work: (context: CommandContext, ...args: Args) => Promise<ExitCode | undefined>,
): (...args: [...Args, Command]) => Promise<void> {
  return async (...all) => {
    const command = all.at(-1) as Command
    const args = all.slice(0, -1) as unknown as Args
    const { json = false } = command.optsWithGlobals<{ json?: boolean }>()
    const out = createOutput(json, cli.streams)
    const session =
      cli.platform === undefined
        ? await openSession({
            env: cli.env,
            signal: cli.signal,
            report: (line) => out.progress('services', { detail: line }, line),
          })
        : { platform: cli.platform, actor: 'test', close: async () => undefined }
    try {
      const { platform, actor } = session
      cli.exitWith((await work({ platform, out, signal: cli.signal, actor }, ...args)) ?? EXIT.done)
    } finally {
      await session.close()
    }
  }
}

/** Help texts end with lines that can be copied. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}\n`
}
