import { runCli } from './cli/program.ts'

/** What the Container Apps Job `nightly` runs, on its schedule: the command of the same name. */
const stopping = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopping.abort())

process.exitCode = await runCli(['nightly', ...process.argv.slice(2)], {
  env: { TRIBUTARY_LOG_LEVEL: 'info', ...process.env },
  streams: { out: (text) => process.stdout.write(text), err: (text) => process.stderr.write(text) },
  signal: stopping.signal,
})
