import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'

export type ApplicationProcess = {
  readonly child: ChildProcess
  /** Everything it has printed so far. */
  readonly output: () => string
  /** Resolves when a line of the output matches, or the process has ended. */
  readonly printed: (pattern: RegExp) => Promise<void>
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>
}

/** `npm start -- --once` without the build: the application as its own process. */
export function startApplicationProcess(env: Readonly<Record<string, string>>, args = ['--once']): ApplicationProcess {
  const child = spawn(process.execPath, ['dist/jobs/start.js', ...args], {
    env: { ...cleanEnvironment(), TRIBUTARY_PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (output += chunk))
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal }))
  return {
    child,
    output: () => output,
    ended,
    printed: (pattern) =>
      Promise.race([
        ended.then(() => undefined),
        new Promise<void>((resolve) => {
          const check = () => pattern.test(output) && resolve()
          check()
          child.stdout.on('data', check)
        }),
      ]),
  }
}

/** The tests' own settings must not reach the application. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const { DATABASE_URL: _, AzureWebJobsStorage: __, ALPACA_KEY_ID: ___, ...rest } = process.env
  return rest
}
