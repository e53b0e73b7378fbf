import { execFile } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { test } from 'vitest'
import { type Measure, percentile, report } from './results.ts'

const RUNS = 7
const FOLDER = join(process.cwd(), 'dist', 'functions')

const run = promisify(execFile)

type Import = { readonly wallMs: number; readonly cpuMs: number }

/** Of a new process, without what it takes to be there. CPU says the same on a busy machine, or nearly. */
async function importTime(urls: readonly string[]): Promise<Import> {
  const script = `
    const [start, cpu] = [performance.now(), process.cpuUsage()]
    for (const url of ${JSON.stringify(urls)}) await import(url)
    const { user, system } = process.cpuUsage(cpu)
    process.stdout.write([performance.now() - start, (user + system) / 1000].join(), () => process.exit(0))`
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script])
  const [wallMs = Number.NaN, cpuMs = Number.NaN] = stdout.split(',').map(Number)
  return { wallMs, cpuMs }
}

async function timesToImport(urls: readonly string[]): Promise<string> {
  const times: Import[] = []
  for (let count = 0; count < RUNS; count++) times.push(await importTime(urls))
  const median = (of: (time: Import) => number) => percentile(times.map(of), 0.5).toFixed(0)
  return `p50 ${median(({ wallMs }) => wallMs)} ms, ${median(({ cpuMs }) => cpuMs)} ms of CPU`
}

// The host imports every function of the application into one process.
test('the entry points of the functions are imported', async () => {
  const names = (await readdir(FOLDER)).filter((name) => name.endsWith('.js')).sort()
  const urls = names.map((name) => pathToFileURL(join(FOLDER, name)).href)
  const measures: Measure[] = []
  measures.push({ what: `all ${names.length} functions`, value: await timesToImport(urls), target: '<= 400 ms' })
  for (const [index, url] of urls.entries()) {
    measures.push({ what: `${names[index]} alone`, value: await timesToImport([url]) })
  }
  await report('start', measures)
})
