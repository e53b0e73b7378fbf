import { SingleBar } from 'cli-progress'
import type { Outlook } from '../../shared/ingest/backfill/outlook.ts'
import { remaining } from '../../shared/ingest/backfill/outlook.ts'
import { count } from '../table.ts'
import { createMeter, formatSeconds } from './meter.ts'

/** Shows how a backfill goes while it goes. */
export type ProgressView = {
  readonly show: (outlook: Outlook) => void
  readonly end: () => void
}

/** Without a terminal: who reads a log wants a line now and then, ms. */
const LINE_MS = 10_000

/** A bar on a terminal: windows, rows and calls per second, and when it will be over. */
export function createProgressBar(stream: NodeJS.WritableStream): ProgressView {
  const meter = createMeter()
  const bar = new SingleBar({
    format: '{bar} {percentage}%  {value} of {total} windows  {rates}  {left}{failed}',
    stream,
    barsize: 24,
    fps: 4,
    hideCursor: true,
  })
  let started = false
  return {
    show(outlook) {
      const { rowsPerS, callsPerS, etaS } = meter(readingOf(outlook))
      const values = {
        rates: `${count(rowsPerS)} rows/s, ${callsPerS} calls/s`,
        left: etaS === null ? 'no end in sight' : `${formatSeconds(etaS)} left`,
        failed: outlook.failed === 0 ? '' : `, ${outlook.failed} failed`,
      }
      const done = outlook.windows - remaining(outlook)
      if (started) {
        bar.setTotal(outlook.windows)
        bar.update(done, values)
      } else {
        bar.start(outlook.windows, done, values)
        started = true
      }
    },
    end() {
      if (started) bar.stop()
    },
  }
}

/** JSON lines where there is no terminal: the first at once, then one every ten seconds, and the last. */
export function createProgressLines(backfillId: string, write: (text: string) => void): ProgressView {
  const meter = createMeter()
  let writtenMs = Number.NEGATIVE_INFINITY
  let unwritten: string | undefined
  const flush = (line: string) => {
    write(line)
    writtenMs = performance.now()
    unwritten = undefined
  }
  return {
    show(outlook) {
      const rates = meter(readingOf(outlook))
      const { windows, failed, rows, calls, bytes } = outlook
      const done = windows - remaining(outlook)
      const fields = { event: 'backfill_progress', backfillId, windows, done, failed, rows, calls, bytes, ...rates }
      unwritten = `${JSON.stringify(fields)}\n`
      if (performance.now() - writtenMs >= LINE_MS) flush(unwritten)
    },
    end() {
      if (unwritten !== undefined) flush(unwritten)
    },
  }
}

function readingOf(outlook: Outlook) {
  const { windows, rows, calls } = outlook
  return { atMs: performance.now(), windows, done: windows - remaining(outlook), rows, calls }
}
