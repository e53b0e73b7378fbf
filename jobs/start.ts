import { relative, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { ConfigError, toError } from '../shared/errors.ts'
import type { Status } from '../shared/ops/status.ts'
import { type Application, startApplication } from './local/application.ts'
import { catchUp } from './local/catch-up.ts'
import { createCuratedMirror } from './local/curated-mirror.ts'
import { openLogFile } from './local/log-file.ts'
import { describeLake } from './local/report.ts'

const HELP = `npm start -- [--once] [--help]

Runs everything on this machine: PostgreSQL and storage, the providers, the functions. Without a provider's key all of
them are simulated: alpaca and massive serve the real daily bars of the S&P 500 that ship with the project, fred
generated series.
With the key of any of them nothing is simulated; streams of a provider without a key wait for it.

  --once   end when everything that is due is published (exit 0), or cannot be (exit 1)
  --help   this text

settings: TRIBUTARY_DATA_DIR (.tributary), TRIBUTARY_PORT (7071, 0 = any free port), ALPACA_KEY_ID with
ALPACA_SECRET_KEY, FRED_API_KEY, MASSIVE_API_KEY for the real providers, TRIBUTARY_STREAMS (streams.json, simulated: streams.demo.json),
DATABASE_URL and AzureWebJobsStorage for services of your own. Exit codes: 0 done, 1 something is not published, 2 settings or usage, 143 stopped.
`

const MIRROR_EVERY_MS = 2_000
const EXIT = { done: 0, incomplete: 1, usage: 2, stopped: 143 } as const

const stopping = new AbortController()
let stopped = false
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    stopped = true
    stopping.abort()
  })
}

process.exitCode = await main().catch(explain)

async function main(): Promise<number> {
  const { once, help } = parseArgs({ options: { once: { type: 'boolean' }, help: { type: 'boolean' } } }).values
  if (help) {
    process.stdout.write(HELP)
    return EXIT.done
  }
  const dataDir = resolve(process.env.TRIBUTARY_DATA_DIR || '.tributary')
  const port = portSetting(process.env.TRIBUTARY_PORT || '7071')
  const log = openLogFile(dataDir)
  const application = await startApplication({
    dataDir,
    port: once ? 0 : port,
    timers: once ? 'manual' : 'scheduled',
    sink: log.sink,
    report: print,
    signal: stopping.signal,
  })
  try {
    return await run(application, { dataDir, once: once === true, logPath: log.path })
  } finally {
    await application.stop()
  }
}

async function run(
  { platform, host, lost }: Application,
  { dataDir, once, logPath }: { readonly dataDir: string; readonly once: boolean; readonly logPath: string },
): Promise<number> {
  const { signal } = stopping
  lost.addEventListener('abort', () => stopping.abort(lost.reason))
  const { status, complete } = await catchUp({ platform, host, signal, onProgress: progress() })
  const mirror = createCuratedMirror(platform, dataDir)
  await mirror.update()
  print(`log         ${shownPath(logPath)}`)
  print('')
  print(await describeLake(platform, status, shownPath(mirror.folder)))
  print('')
  print(complete ? 'everything that is due is published' : notPublished(status))
  if (once) {
    print('what next   npm start keeps it running, plans every five minutes and serves /api/status')
    return complete ? EXIT.done : EXIT.incomplete
  }
  print(`status      http://127.0.0.1:${host.port}/api/status`)
  print('what next   add a stream to the streams file; the next plan, at most five minutes away, takes it up')
  print('            stop with Ctrl-C; the next start goes on from here')
  while (!signal.aborted) {
    await mirror.update()
    await sleep(MIRROR_EVERY_MS, undefined, { signal }).catch(() => undefined)
  }
  lost.throwIfAborted()
  return EXIT.stopped
}

function notPublished(status: Status): string {
  const paused = status.streams.filter((stream) => stream.paused).length
  const holes = status.streams.reduce((sum, stream) => sum + stream.holes.length, 0)
  return `not everything is published: ${holes} windows missing, ${paused} streams paused (see the table above)`
}

/** One line whenever the picture changes. */
function progress(): (status: Status) => void {
  let last = ''
  return ({ ingests, streams }) => {
    const rows = streams.reduce((sum, stream) => sum + stream.rows, 0)
    const waiting = ingests.planned + ingests.landing + ingests.landed + ingests.curating
    const line = `progress    ${ingests.published + ingests.empty} windows published, ${waiting} under way, ${rows} rows`
    if (line !== last) print(line)
    last = line
  }
}

/** Below the working directory as a person would type it, elsewhere in full. */
function shownPath(path: string): string {
  const shown = relative(process.cwd(), path)
  return shown.startsWith('..') ? path : shown
}

function portSetting(text: string): number {
  const port = Number(text)
  if (/^\d+$/.test(text) && port <= 65_535) return port
  throw new ConfigError([`TRIBUTARY_PORT: expected a port from 0 to 65535, got "${text}"`])
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

function explain(thrown: unknown): number {
  const error = toError(thrown)
  if (stopped) return EXIT.stopped
  const usage = error instanceof ConfigError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS')
  process.stderr.write(`${usage ? error.message : (error.stack ?? error.message)}\n`)
  return usage ? EXIT.usage : EXIT.incomplete
}
