import { runCli } from '../../jobs/cli/program.ts'
import type { Platform } from '../../shared/platform.ts'

/** What a command line printed, and its exit code. */
export type Ran = {
  readonly code: number
  readonly out: string
  readonly err: string
  /** The answer of a command with `--json`. */
  readonly json: <Answer = Readonly<Record<string, unknown>>>() => Answer
}

/** Runs `tributary …` in this process, on the services of a workbench. `stopAt`: told to stop when it has printed that. */
export async function tributary(
  platform: Platform,
  argv: readonly string[],
  { stopAt }: { readonly stopAt?: RegExp } = {},
): Promise<Ran> {
  let out = ''
  let err = ''
  const stop = new AbortController()
  const streams = {
    out: (text: string) => (out += text),
    err(text: string) {
      err += text
      if (stopAt?.test(err)) stop.abort()
    },
  }
  const code = await runCli(argv, { env: {}, streams, signal: stop.signal, platform })
  return { code, out, err, json: () => JSON.parse(out) }
}
