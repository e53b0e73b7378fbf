import { spawn } from 'node:child_process'
import { once } from 'node:events'

export type ShellRun = { readonly code: number | null; readonly output: string }

/** The tests' own settings must not reach a command: it starts as in a new terminal. */
const PASSED_ON = ['PATH', 'HOME', 'USER', 'TMPDIR']

/** Runs commands as a person would type them; ends at the first that fails. Nothing that they started is left. */
export async function runShell(
  commands: string,
  {
    folder,
    env = {},
    signal,
  }: { readonly folder: string; readonly env?: Readonly<Record<string, string>>; readonly signal: AbortSignal },
): Promise<ShellRun> {
  const terminal = PASSED_ON.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]]))
  const child = spawn('sh', ['-ec', commands], {
    cwd: folder,
    env: { ...Object.fromEntries(terminal), NO_COLOR: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    // Leads a process group, so that what it left in the background can be ended with it.
    detached: true,
  })
  const endGroup = () => {
    try {
      process.kill(-(child.pid ?? Number.NaN), 'SIGTERM')
    } catch {
      // Nobody is left in it.
    }
  }
  signal.addEventListener('abort', endGroup, { once: true })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  // Not `close`: what is left in the background holds the output open.
  const [code] = await once(child, 'exit')
  endGroup()
  signal.removeEventListener('abort', endGroup)
  return { code, output }
}
