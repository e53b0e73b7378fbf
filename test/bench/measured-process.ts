import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { z } from 'zod'

/** What one process took, from its start to its end, the time to load its code included. */
export type Usage = {
  readonly wallS: number
  /** User and system, of all its threads. */
  readonly cpuS: number
  /** The most it ever held. */
  readonly rssBytes: number
}

const usageSchema = z.object({ cpuS: z.number(), rssBytes: z.number() })
const AT_EXIT = pathToFileURL(join(import.meta.dirname, 'usage-at-exit.mjs')).href

/** `--cpu-prof --cpu-prof-dir=…` shows where the time goes. */
const NODE_OPTIONS = (process.env.TRIBUTARY_BENCH_NODE_OPTIONS ?? '').split(' ').filter((option) => option !== '')

/** Runs a JavaScript file as a process of its own, with these settings and no others; it must end with 0. */
export async function measureProcess(
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Usage> {
  const folder = await mkdtemp(join(tmpdir(), 'tributary-bench-'))
  const usageFile = join(folder, 'usage.json')
  try {
    const start = performance.now()
    const child = spawn(process.execPath, [`--import=${AT_EXIT}`, ...NODE_OPTIONS, file, ...args], {
      env: { PATH: process.env.PATH ?? '', ...env, TRIBUTARY_BENCH_USAGE: usageFile },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let errors = ''
    child.stderr.on('data', (chunk) => {
      errors += chunk
    })
    const [code] = await once(child, 'close')
    const wallS = (performance.now() - start) / 1_000
    if (code !== 0) throw new Error(`${file}: expected to end with 0, got ${code}: ${errors.slice(-2_000)}`)
    return { wallS, ...usageSchema.parse(JSON.parse(await readFile(usageFile, 'utf8'))) }
  } finally {
    await rm(folder, { recursive: true })
  }
}
