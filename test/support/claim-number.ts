import { closeSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'

/**
 * The smallest number from 1 to `numberMax` that nobody has claimed under this name in this run. An exclusively created
 * file is the one counter that parallel worker processes share without a server.
 */
export function claimNumber(folder: string, name: string, numberMax: number): number {
  const claimed = join(folder, name)
  mkdirSync(claimed, { recursive: true })
  for (let number = 1; number <= numberMax; number++) {
    try {
      closeSync(openSync(join(claimed, String(number)), 'wx'))
      return number
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
    }
  }
  throw new Error(`${name}: expected at most ${numberMax} in one run, got more`)
}
