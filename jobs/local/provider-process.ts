import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'

const ready = z.object({ event: z.literal('provider_ready'), url: z.url() })

export type ProviderProcess = { readonly url: string; readonly stop: () => Promise<void> }

/** Runs a provider simulator as its own process. It ends with this one: its standard input closes. */
export async function startProvider(source: string): Promise<ProviderProcess> {
  const main = fileURLToPath(new URL('./providers/main.js', import.meta.url))
  const child = spawn(process.execPath, [main, source], { stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const url = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const report = ready.safeParse(JSON.parse(line))
      if (report.success) resolve(report.data.url)
    })
    child.once('error', reject)
    child.once('close', (code) =>
      reject(new Error(`provider ${source}: expected to be ready, ended with code ${code}`)),
    )
  })
  return {
    url,
    async stop() {
      child.stdin.end()
      await ended
    },
  }
}
