import { setTimeout as sleep } from 'node:timers/promises'
import { isRunning } from './process-identity.ts'

const STOP_TIMEOUT_MS = 60_000
const POLL_MS = 50

/**
 * Stops a server that an earlier start left behind and waits for its end. It is one only when its command line has
 * `argument`; resolves at once otherwise.
 */
export async function stopOrphan(
  name: string,
  pid: number,
  argument: string,
  stopSignal: NodeJS.Signals,
): Promise<void> {
  const deadline = Date.now() + STOP_TIMEOUT_MS
  for (let asked = false; await isRunning(pid, argument); asked = true) {
    if (Date.now() > deadline) {
      throw new Error(
        `${name} (process ${pid}): expected it to end within ${STOP_TIMEOUT_MS / 1000} s of ${stopSignal}`,
      )
    }
    if (!asked) sendSignal(pid, stopSignal)
    await sleep(POLL_MS)
  }
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // Gone since we looked, or another user's: the loop above tells which.
  }
}
