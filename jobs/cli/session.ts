import { existsSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { pino } from 'pino'
import type { Environment } from '../../shared/config/environment.ts'
import { ConfigError } from '../../shared/errors.ts'
import type { LogSink } from '../../shared/log/log.ts'
import { moveMetadata } from '../../shared/metadata/move.ts'
import { inProcessBus } from '../../shared/metadata/outbox/bus.ts'
import { openPlatform, type Platform } from '../../shared/platform.ts'
import { chooseProvider } from '../local/provider-choice.ts'
import { findServices } from '../local/services.ts'
import { startStack } from '../local/stack/stack.ts'

/** The platform that a command works on. Close it. */
export type Session = {
  readonly platform: Platform
  /** Who does it, for the audit: `ada@laptop` is not proven, only said. */
  readonly actor: string
  readonly close: () => Promise<void>
}

export type SessionOptions = {
  readonly env: Environment
  /** Steps that take a while, for the person who waits. */
  readonly report: (line: string) => void
  readonly signal: AbortSignal
}

/**
 * Services named by the environment, or those of the data folder: running under `npm start`, or started for this one
 * command. Log lines go to standard error, from `warn` up unless `TRIBUTARY_LOG_LEVEL` says otherwise.
 */
export async function openSession({ env, report, signal }: SessionOptions): Promise<Session> {
  const found = await findOrStart({ env, report, signal })
  const merged = { TRIBUTARY_LOG_LEVEL: 'warn', ...env, ...found.settings }
  try {
    const platform = openPlatform({ env: merged, sink: stderrSink() })
    return {
      // No function waits for a hint here: what a command tells is moved before it ends.
      platform: { ...platform, bus: inProcessBus(() => moveMetadata(platform, signal), platform.log) },
      actor: env.TRIBUTARY_ACTOR || userInfo().username,
      async close() {
        await platform.close()
        await found.stop()
      },
    }
  } catch (error) {
    await found.stop()
    throw error
  }
}

async function findOrStart({ env, report, signal }: SessionOptions) {
  const nothingToStop = async () => undefined
  if (env.DATABASE_URL || env.PGHOST || env.AzureWebJobsStorage) return { settings: {}, stop: nothingToStop }
  const dataDir = resolve(env.TRIBUTARY_DATA_DIR || '.tributary')
  const running = await findServices(dataDir)
  if (running !== null) return { settings: running, stop: nothingToStop }
  if (!existsSync(join(dataDir, 'postgres'))) {
    throw new ConfigError([
      `services: expected DATABASE_URL and AzureWebJobsStorage, or the data of npm start in ${relative('.', dataDir)}, got neither`,
    ])
  }
  report(`starting the services of ${relative('.', dataDir) || '.'} for this command`)
  const provider = await chooseProvider(env)
  const stack = await startStack({ dataDir, signal, log: () => undefined }).catch(async (error) => {
    await provider.stop()
    throw error
  })
  return {
    settings: {
      DATABASE_URL: stack.databaseUrl,
      AzureWebJobsStorage: stack.storageConnectionString,
      ...provider.settings,
    },
    async stop() {
      await stack.stop()
      await provider.stop()
    },
  }
}

function stderrSink(): LogSink {
  const logger = pino(
    { level: 'debug', base: null, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ dest: 2, sync: true }),
  )
  return (level, line) => logger[level](line)
}
