import { parseArgs } from 'node:util'
import { ConfigError, toError } from '../../../shared/errors.ts'
import { startAlpacaSimulator } from './alpaca.ts'
import { seededFaults } from './faults.ts'
import type { Simulator } from './simulator-server.ts'
import { loadSp500 } from './sp500.ts'

/**
 * A provider simulator as its own process:
 *
 *     node dist/jobs/local/providers/main.js alpaca [--port N] [--rate-limit N] [--faults SEED] [--no-compress]
 *
 * `--faults` spoils a tenth of all answers in ways that pass when the request is repeated; `--no-compress` answers in no
 * content coding, in half the time. One JSON line on stdout says where it listens. It ends on SIGTERM and SIGINT, and
 * when its standard input closes: a parent that is killed takes it along, so start it with a pipe there.
 */
async function main(args: readonly string[]): Promise<void> {
  const { source, port, rateLimit, faultsSeed, compress } = parseArguments(args)
  const simulator = await startAlpacaSimulator({
    port,
    series: loadSp500(),
    compress,
    limits: rateLimit === undefined ? {} : { requestsPerMinute: rateLimit },
    faults: faultsSeed === undefined ? [] : seededFaults(faultsSeed, 0.1),
  })
  // Before the line: whoever reads it may end us at once.
  endWith(simulator)
  process.stdout.write(`${JSON.stringify({ event: 'provider_ready', source, url: simulator.url })}\n`)
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
  const [source = '', ...more] = positionals
  if (source !== 'alpaca' || more.length > 0) {
    throw new ConfigError([`provider: expected alpaca, got ${JSON.stringify(positionals.join(' '))}`])
  }
  return {
    source,
    port: wholeNumber('--port', values.port, 0, 65_535) ?? 0,
    rateLimit: wholeNumber('--rate-limit', values['rate-limit'], 1, 1_000_000),
    faultsSeed: values.faults,
    compress: values['no-compress'] !== true,
  }
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
