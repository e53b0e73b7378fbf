import { runCli } from './cli/program.ts'

/**
 * What the Container Apps Job runs: `backfill run --next --job`, ended by itself a minute before its replica's timeout
 * of a day. The command line does the work; arguments take the place of these, for a start by hand.
 */
const AS_JOB = ['run', '--next', '--job', '--stop-after', `${24 * 3600 - 60}s`]

const stopping = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopping.abort())

const given = process.argv.slice(2)
process.exitCode = await runCli(['backfill', ...(given.length === 0 ? AS_JOB : given)], {
  env: { TRIBUTARY_LOG_LEVEL: 'info', ...process.env },
  streams: { out: (text) => process.stdout.write(text), err: (text) => process.stderr.write(text) },
  signal: stopping.signal,
})
