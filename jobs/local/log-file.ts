import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { pino } from 'pino'
import type { LogSink } from '../../shared/log/log.ts'

/** JSON lines appended to `<dataDir>/tributary.log`, so that the terminal stays readable. */
export function openLogFile(dataDir: string): { readonly path: string; readonly sink: LogSink } {
  mkdirSync(dataDir, { recursive: true })
  const path = join(dataDir, 'tributary.log')
  const logger = pino(
    { level: 'debug', base: null, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ dest: path, sync: true }),
  )
  return { path, sink: (level, line) => logger[level](line) }
}
