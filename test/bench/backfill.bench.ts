import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'vitest'
import { bars } from '../../shared/datasets/bars.ts'
import { allColumns } from '../../shared/datasets/contract.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { compareLakes, copyCurated, copyRaw } from './lake-copy.ts'
import { measureProcess, type Usage } from './measured-process.ts'
import { openMinuteHistory } from './minute-history.ts'
import { type Measure, percentile, report, type Timed, timed } from './results.ts'

const ROWS = Number(process.env.TRIBUTARY_BENCH_ROWS ?? 1_000_000)
/** DuckDB is so short that what else the machine does weighs most on it: before the script and after it, twice each. */
const DUCKDB_RUNS = 2

describe('a backfill', () => {
  const environment = useTestEnvironment()

  test('is measured against DuckDB alone, and against the script a person would write first', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tributary-backfill-'))
    const at = (name: string) => join(folder, name)
    const bench = await openMinuteHistory(environment, ROWS)
    const { platform, simulator } = bench.history.bench
    let tributary: Usage | undefined
    const provider = await timed(async () => {
      tributary = await bench.backfill()
    })
    if (tributary === undefined) throw new Error('backfill: expected its usage, got none')
    await copyCurated(platform, at('curated'))
    const pages = await copyRaw(platform, at('raw'))

    const duckdbs: Usage[] = []
    const runDuckdb = async () => {
      for (let run = 0; run < DUCKDB_RUNS; run++) {
        await rm(at('duckdb'), { recursive: true, force: true })
        duckdbs.push(await measureProcess('test/bench/duckdb-script.mjs', [at('raw'), at('duckdb')]))
      }
    }
    await runDuckdb()
    const asked = [simulator.url, at('naive'), bench.from, bench.until, ...bench.symbols]
    const naive = await measureProcess('test/bench/naive-script.mjs', asked)
    await runDuckdb()

    const columns = allColumns(bars).map(({ name }) => name)
    const ours = await compareLakes(at('curated'), at('curated'), columns)
    const theirs = await compareLakes(at('curated'), at('duckdb'), columns)
    // The script knows of no raw page, and writes milliseconds.
    const known = bars.columns.map(({ name }) => (name === 'ts' ? 'epoch_us(ts) as ts' : name))
    const scripts = await compareLakes(at('curated'), at('naive'), known)

    const duckdb = {
      wallS: median(duckdbs, ({ wallS }) => wallS),
      cpuS: median(duckdbs, ({ cpuS }) => cpuS),
      rssBytes: median(duckdbs, ({ rssBytes }) => rssBytes),
    }
    const took = (usage: Usage, bytes: number) =>
      `${seconds(usage)}, ${perSecond(bench.rows, usage)}, peak ${mib(usage.rssBytes)}, files of ${mib(bytes)}`
    const measures: Measure[] = [
      { what: `${bench.rows} rows, ${pages} pages, ${ours.files} files`, value: took(tributary, ours.bytes) },
      { what: 'provider and bench beside it', value: seconds(provider) },
      { what: `DuckDB, raw pages to files, median of ${duckdbs.length}`, value: took(duckdb, theirs.bytes) },
      { what: 'the first script, provider to files', value: took(naive, scripts.bytes) },
      { what: "to DuckDB's time", value: ratio(tributary, duckdb), target: '<= 3' },
      { what: "the script's time to it", value: ratio(naive, tributary), target: '>= 5' },
    ]
    await report('backfill', measures)
    await bench.close()
    await rm(folder, { recursive: true })
  })
})

const median = (usages: readonly Usage[], of: (usage: Usage) => number) => percentile(usages.map(of), 0.5)
const mib = (bytes: number) => `${Math.round(bytes / 1024 / 1024)} MiB`
const seconds = ({ wallS, cpuS }: Timed) => `${wallS.toFixed(1)} s (${cpuS.toFixed(1)} of CPU)`
const perSecond = (rows: number, { wallS }: Timed) => `${Math.round(rows / wallS).toLocaleString('en-US')} rows/s`
const ratio = (a: Timed, b: Timed) => `${(a.wallS / b.wallS).toFixed(2)} (${(a.cpuS / b.cpuS).toFixed(2)} of CPU)`
