import type { ExitCode } from '../../jobs/cli/exit-codes.ts'
import { runCli } from '../../jobs/cli/program.ts'
import type { Platform } from '../../shared/platform.ts'

export type Ran = {
  readonly code: ExitCode
  readonly out: string
  readonly err: string
  /** The one JSON document of standard output. */
  readonly json: () => unknown
}

export type CommandOptions = {
  readonly env?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
  readonly onErr?: (text: string) => void
}

/** One command line on services that are open already. */
export async function runCommand(
  platform: Platform,
  argv: readonly string[],
  { env = {}, signal = new AbortController().signal, onErr = () => undefined }: CommandOptions = {},
): Promise<Ran> {
  let out = ''
  let err = ''
  const streams = {
    out: (text: string) => {
      out += text
    },
    err: (text: string) => {
      err += text
      onErr(text)
    },
  }
  const code = await runCli(argv, { env, streams, signal, platform })
  return { code, out, err, json: () => JSON.parse(out) }
}
