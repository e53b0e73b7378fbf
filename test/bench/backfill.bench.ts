import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, onTestFinished, test } from 'vitest'
import { bars } from '../../shared/datasets/bars.ts'
import { allColumns } from '../../shared/datasets/contract.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { compareLakes, copyCurated, copyRaw } from './lake-copy.ts'
import { measureProcess, type Usage } from './measured-process.ts'
import { openMinuteHistory } from './minute-history.ts'
import { type Measure, report, type Timed, timed } from './results.ts'

const ROWS = Number(process.env.TRIBUTARY_BENCH_ROWS ?? 1_000_000)
/** In turns with DuckDB, which is so short that what else the machine does weighs most on it. */
const ROUNDS = 3

describe('a backfill', () => {
  const environment = useTestEnvironment()

  test('is measured against DuckDB alone, and against the script a person would write first', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tributary-backfill-'))
    onTestFinished(() => rm(folder, { recursive: true }))
    const at = (name: string) => join(folder, name)
    const [backfills, providers, duckdbs]: [Usage[], Timed[], Usage[]] = [[], [], []]
    let pages = 0
    let rows = 0
    let script: Usage | undefined
    for (let round = 1; round <= ROUNDS; round++) {
      const bench = await openMinuteHistory(environment, ROWS)
      providers.push(await timed(async () => void backfills.push(await bench.backfill())))
      if (round === 1) {
        rows = bench.rows
        const { platform, simulator } = bench.history.bench
        pages = await copyRaw(platform, at('raw'))
        await copyCurated(platform, at('tributary'))
        const asked = [simulator.url, at('script'), bench.from, bench.until, ...bench.symbols]
        script = await measureProcess('test/bench/naive-script.mjs', asked)
      }
      await bench.close()
      await rm(at('duckdb'), { recursive: true, force: true })
      duckdbs.push(await measureProcess('test/bench/duckdb-script.mjs', [at('raw'), at('duckdb')]))
    }
    if (script === undefined) throw new Error('the script: expected what it used, got nothing')

    // What did not do the work is no measure of it.
    const columns = allColumns(bars).map(({ name }) => name)
    const theirs = await compareLakes(at('tributary'), at('duckdb'), columns)
    // It knows of no raw page, and writes milliseconds.
    const known = bars.columns.map(({ name }) => (name === 'ts' ? 'epoch_us(ts) as ts' : name))
    const scripts = await compareLakes(at('tributary'), at('script'), known)

    const [backfill, duckdb] = [median(backfills), median(duckdbs)]
    const took = (usage: Usage, bytes: number) =>
      `${seconds(usage)}, ${perSecond(rows, usage)}, peak ${mib(usage.rssBytes)}, files of ${mib(bytes)}`
    const measures: Measure[] = [
      { what: `${rows} rows, ${pages} pages, ${theirs.files} files`, value: took(backfill, theirs.oursBytes) },
      { what: 'provider and bench beside it', value: seconds(providers[backfills.indexOf(backfill)] ?? backfill) },
      { what: 'DuckDB, from raw pages to files', value: took(duckdb, theirs.bytes) },
      { what: 'the first script, from the provider to files', value: took(script, scripts.bytes) },
      { what: "to DuckDB's time", value: ratio(backfill, duckdb), target: '<= 3' },
      { what: "the script's time to it", value: ratio(script, backfill), target: '>= 5' },
    ]
    await report('backfill', measures)
  })
})

/** The run in the middle, by its time: its CPU and memory are of one and the same run. */
function median(usages: readonly Usage[]): Usage {
  const middle = [...usages].sort((a, b) => a.wallS - b.wallS)[Math.floor(usages.length / 2)]
  if (middle === undefined) throw new Error('median: expected runs, got none')
  return middle
}

const mib = (bytes: number) => `${Math.round(bytes / 1024 / 1024)} MiB`
const seconds = ({ wallS, cpuS }: Timed) => `${wallS.toFixed(1)} s (${cpuS.toFixed(1)} of CPU)`
const perSecond = (rows: number, { wallS }: Timed) => `${Math.round(rows / wallS).toLocaleString('en-US')} rows/s`
const ratio = (a: Timed, b: Timed) => `${(a.wallS / b.wallS).toFixed(2)} (${(a.cpuS / b.cpuS).toFixed(2)} of CPU)`
