import { readFile, writeFile } from 'node:fs/promises'
import { cpus } from 'node:os'
import { table } from '../../jobs/table.ts'

/** What was measured, what it is to be compared with, and in which unit. */
export type Measure = { readonly what: string; readonly value: string; readonly target?: string }

const FILE = 'bench-results.json'

/** Prints the table of one benchmark, and puts it beside those of the others into bench-results.json. */
export async function report(benchmark: string, measures: readonly Measure[]): Promise<void> {
  const rows = measures.map(({ what, value, target = '' }) => [what, value, target])
  console.log(`\n${benchmark}\n${table(['what', 'measured', 'target'], rows)}\n`)
  const text = await readFile(FILE, 'utf8').catch(() => '{}')
  const results: unknown = JSON.parse(text)
  const known = typeof results === 'object' && results !== null ? results : {}
  const machine = { node: process.version, cpus: cpus().length, cpu: cpus()[0]?.model ?? 'unknown' }
  const all = { ...known, [benchmark]: { at: new Date().toISOString(), machine, measures } }
  await writeFile(FILE, `${JSON.stringify(all, null, 2)}\n`)
}

/** `p` of 1: p50 is 0.5. */
export function percentile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? Number.NaN
}

export function milliseconds(values: readonly number[]): string {
  const ms = (p: number) => percentile(values, p).toFixed(2)
  return `p50 ${ms(0.5)} · p99 ${ms(0.99)} ms`
}

export type Timed = {
  readonly wallS: number
  /** Of this process. */
  readonly cpuS: number
}

/** Seconds of CPU that other processes of this machine have used so far; NaN where nobody tells. */
export async function cpuSecondsOf(pids: readonly number[]): Promise<number> {
  let ticks = 0
  for (const pid of pids) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
    // Fields 14 and 15, counted behind the name in parentheses, which may hold anything: proc_pid_stat(5).
    const [user, system] = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .slice(11, 13)
    ticks += Number(user ?? Number.NaN) + Number(system ?? Number.NaN)
  }
  return ticks / TICKS_PER_SECOND
}

const TICKS_PER_SECOND = 100

export async function timed(work: () => Promise<unknown>): Promise<Timed> {
  const cpu = process.cpuUsage()
  const start = performance.now()
  await work()
  const { user, system } = process.cpuUsage(cpu)
  return { wallS: (performance.now() - start) / 1_000, cpuS: (user + system) / 1e6 }
}

export async function timesOf<Item>(items: readonly Item[], work: (item: Item) => Promise<unknown>): Promise<number[]> {
  const times: number[] = []
  for (const item of items) times.push((await timed(() => work(item))).wallS * 1_000)
  return times
}
