import { z } from 'zod'

/** What the guard process says on its standard output, one JSON object per line. */
const guardReport = z.discriminatedUnion('event', [
  z.object({ event: z.literal('progress'), message: z.string() }),
  z.object({
    event: z.literal('ready'),
    /** Of the database `postgres`. */
    databaseUrl: z.string(),
    storageConnectionString: z.string(),
  }),
  /** The guard stops what still runs and exits 1. */
  z.object({ event: z.literal('failed'), message: z.string() }),
])

export type GuardReport = z.infer<typeof guardReport>

export function parseGuardReport(line: string): GuardReport {
  try {
    return guardReport.parse(JSON.parse(line))
  } catch (cause) {
    throw new Error(`guard report: expected a json object with event progress, ready or failed, got ${line}`, { cause })
  }
}

export function formatGuardReport(report: GuardReport): string {
  return `${JSON.stringify(report)}\n`
}
