#!/usr/bin/env node
import { runCli } from './cli/program.ts'

const stopping = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopping.abort())

process.exitCode = await runCli(process.argv.slice(2), {
  env: process.env,
  streams: { out: (text) => process.stdout.write(text), err: (text) => process.stderr.write(text) },
  signal: stopping.signal,
})
