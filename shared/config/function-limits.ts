/** `functionTimeout` of host.json, ms; a test compares the two. */
export const FUNCTION_TIMEOUT_MS = 600_000
/** Handlers end themselves this much earlier and leave a state that the next one goes on from, ms. */
const MARGIN_MS = 60_000
/** Waiting is billed in a function: longer than this and the ingest is given back, ms. */
const THROTTLE_WAIT_MS_MAX = 30_000

const stopping = new AbortController()

/** Limits of one queue-triggered invocation. Told to stop, it gives its ingest back. */
export function functionLimits() {
  if (process.listeners('SIGTERM').includes(onStop) === false) process.on('SIGTERM', onStop)
  return { stop: stopping.signal, deadlineMs: FUNCTION_TIMEOUT_MS - MARGIN_MS, waitMsMax: THROTTLE_WAIT_MS_MAX }
}

function onStop(): void {
  stopping.abort()
}
