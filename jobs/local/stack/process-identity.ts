import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

/**
 * Whether `pid` is a live process that was started with `argument`. A number alone proves nothing: after a restart of
 * the machine or of a container it belongs to somebody else. A zombie has no command line, so it is not running.
 */
export async function isRunning(pid: number, argument: string): Promise<boolean> {
  const command = await commandLine(pid)
  return command?.includes(argument) ?? false
}

async function commandLine(pid: number): Promise<string | undefined> {
  try {
    if (process.platform === 'linux') return await readFile(`/proc/${pid}/cmdline`, 'utf8')
    const { stdout } = await run('ps', ['-ww', '-o', 'command=', '-p', String(pid)])
    return stdout
  } catch {
    return undefined
  }
}
