import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'

export type CommandProcess = {
  readonly child: ChildProcess
  readonly out: () => string
  readonly err: () => string
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>
}

/** A compiled entry point of `jobs/`, `cli` or `backfill`, as its own process with these settings and no others. */
export function startCommand(
  entry: 'cli' | 'backfill',
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): CommandProcess {
  const child = spawn(process.execPath, [`dist/jobs/${entry}.js`, ...args], {
    env: { PATH: process.env.PATH ?? '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const printed = { out: '', err: '' }
  child.stdout.on('data', (chunk) => {
    printed.out += chunk
  })
  child.stderr.on('data', (chunk) => {
    printed.err += chunk
  })
  return {
    child,
    out: () => printed.out,
    err: () => printed.err,
    ended: once(child, 'close').then(([code, signal]) => ({ code, signal })),
  }
}
