import { parseArgs } from 'node:util'
import { ConfigError, toError } from '../../../shared/errors.ts'
import { startAlpacaSimulator } from './alpaca.ts'
import { barSeriesOf } from './bar-series.ts'
import { seededFaults } from './faults.ts'
import { startFredSimulator } from './fred.ts'
import { startMassiveSimulator } from './massive.ts'
import { loadObservationSeries } from './observation-series.ts'
import type { Simulator, SimulatorOptions } from './simulator-server.ts'
import { loadSessions, loadSp500 } from './sp500.ts'

/**
 * A provider simulator as its own process:
 *
 *     node dist/jobs/local/providers/main.js alpaca|fred|massive [--port N] [--rate-limit N] [--faults SEED] [--no-compress]
 *
 * `--rate-limit` is in requests, of alpaca and massive in any minute, of fred in any second. `--faults` spoils a tenth of
 * all answers in ways that pass when the request is repeated; `--no-compress` answers in no content coding, in half the
 * time. One JSON line on stdout says where it listens. It ends on SIGTERM and SIGINT, and when its standard input closes:
 * a parent that is killed takes it along, so start it with a pipe there.
 */
async function main(args: readonly string[]): Promise<void> {
  const { source, port, rateLimit, faultsSeed, compress } = parseArguments(args)
  const faults = faultsSeed === undefined ? [] : seededFaults(faultsSeed, 0.1)
  const simulator = await SIMULATORS[source]({ port, compress, faults }, rateLimit)
  // Before the line: whoever reads it may end us at once.
  endWith(simulator)
  process.stdout.write(`${JSON.stringify({ event: 'provider_ready', source, url: simulator.url })}\n`)
}

type Start = (options: SimulatorOptions, rateLimit: number | undefined) => Promise<Simulator>

const SOURCES = ['alpaca', 'fred', 'massive'] as const
type Source = (typeof SOURCES)[number]

/** The days of the S&P 500 under other names, with other minutes. */
const MASSIVE_SYMBOLS = ['TSLA', 'I:NDX', 'C:XAUUSD']

const SIMULATORS: Readonly<Record<Source, Start>> = {
  alpaca: (options, requestsPerMinute) =>
    startAlpacaSimulator({
      ...options,
      series: loadSp500(),
      limits: requestsPerMinute === undefined ? {} : { requestsPerMinute },
    }),
  fred: (options, requestsPerSecond) =>
    startFredSimulator({
      ...options,
      series: loadObservationSeries(),
      limits: requestsPerSecond === undefined ? {} : { requestsPerSecond },
    }),
  massive(options, requestsPerMinute) {
    const sessions = loadSessions()
    return startMassiveSimulator({
      ...options,
      series: MASSIVE_SYMBOLS.map((symbol) => barSeriesOf(symbol, sessions)),
      limits: requestsPerMinute === undefined ? {} : { requestsPerMinute },
    })
  },
}

function parseArguments(args: readonly string[]) {
  const options = {
    port: { type: 'string' },
    'rate-limit': { type: 'string' },
    faults: { type: 'string' },
    'no-compress': { type: 'boolean' },
  } as const
  const { values, positionals } = strictArgs(() =>
    parseArgs({ args: [...args], options, allowPositionals: true, strict: true }),
  )
  return {
    source: sourceOf(positionals),
    port: wholeNumber('--port', values.port, 0, 65_535) ?? 0,
    rateLimit: wholeNumber('--rate-limit', values['rate-limit'], 1, 1_000_000),
    faultsSeed: values.faults,
    compress: values['no-compress'] !== true,
  }
}

function sourceOf(positionals: readonly string[]): Source {
  const [name, ...more] = positionals
  const source = SOURCES.find((known) => known === name)
  if (source !== undefined && more.length === 0) return source
  throw new ConfigError([
    `provider: expected one of ${SOURCES.join(', ')}, got ${JSON.stringify(positionals.join(' '))}`,
  ])
}

/** Unknown options are told by a TypeError of Node's. */
function strictArgs<T>(parse: () => T): T {
  try {
    return parse()
  } catch (thrown) {
    throw new ConfigError([`provider: ${toError(thrown).message}`])
  }
}

function wholeNumber(name: string, text: string | undefined, min: number, max: number): number | undefined {
  if (text === undefined) return undefined
  const value = /^\d{1,7}$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= min && value <= max)) {
    throw new ConfigError([`${name}: expected a whole number from ${min} to ${max}, got ${JSON.stringify(text)}`])
  }
  return value
}

function endWith(simulator: Simulator): void {
  let ending = false
  const end = () => {
    if (ending) return
    ending = true
    process.stdin.destroy()
    void simulator.close()
  }
  process.once('SIGTERM', end)
  process.once('SIGINT', end)
  process.stdin.once('end', end)
  process.stdin.once('error', end)
  process.stdin.resume()
}

try {
  await main(process.argv.slice(2))
} catch (thrown) {
  process.stderr.write(`${toError(thrown).message}\n`)
  // Only a person can mend a wrong argument; a port in use may be free later.
  process.exitCode = thrown instanceof ConfigError ? 2 : 1
}
