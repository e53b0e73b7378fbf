import { z } from 'zod'
import { FUNCTION_TIMEOUT_MS } from '../../config/function-limits.ts'
import { toError } from '../../errors.ts'
import { type Check, checked, type Finding, fail, ok, warn } from './check.ts'

// Only what code relies on, with the host's own defaults; the host itself refuses what it does not know.
const queues = z.looseObject({
  messageEncoding: z.string().default('base64'),
  maxDequeueCount: z.number().default(5),
  visibilityTimeout: z.string().default('00:00:00'),
})
const hostJson = z.looseObject({
  functionTimeout: z.string().optional(),
  extensions: z.looseObject({ queues: queues.prefault({}) }).prefault({}),
})

/** A database that is away for a minute must not send messages to poison. */
const DEQUEUES_MIN = 3
const HIDDEN_S_MIN = 30

/** Whether host.json agrees with what code sends, and how long it works. */
export function checkHostJson(text: string): readonly Check[] {
  const parsed = parse(text)
  if (typeof parsed === 'string') {
    const subject = {
      name: 'host.json: readable',
      expected: 'json with functionTimeout and extensions.queues',
      todo: 'mend host.json',
    }
    return [checked(subject, fail(parsed))]
  }
  const { messageEncoding, maxDequeueCount, visibilityTimeout } = parsed.extensions.queues
  return [
    checked(
      {
        name: 'host.json: messageEncoding',
        expected: 'base64, as messages are sent',
        todo: 'set extensions.queues.messageEncoding to "base64": with another, every message ends as poison or unread',
      },
      messageEncoding === 'base64' ? ok('base64') : fail(messageEncoding),
    ),
    checked(
      {
        name: 'host.json: maxDequeueCount',
        expected: `at least ${DEQUEUES_MIN}`,
        todo: 'set extensions.queues.maxDequeueCount to 5: claims in the row decide about quarantine, not deliveries',
      },
      maxDequeueCount >= DEQUEUES_MIN ? ok(String(maxDequeueCount)) : fail(String(maxDequeueCount)),
    ),
    checked(
      {
        name: 'host.json: visibilityTimeout',
        expected: `at least ${HIDDEN_S_MIN} s between two deliveries`,
        todo: 'set extensions.queues.visibilityTimeout to "00:00:30": a short outage uses up all deliveries otherwise',
      },
      spanFinding(visibilityTimeout, (seconds) => (seconds >= HIDDEN_S_MIN ? 'ok' : 'fail')),
    ),
    checked(
      {
        name: 'host.json: functionTimeout',
        expected: `${FUNCTION_TIMEOUT_MS / 1000} s, as the deadline of handlers is counted from`,
        todo: 'set functionTimeout to "00:10:00", or change the constant in shared/config with it',
      },
      parsed.functionTimeout === undefined
        ? fail("none, so the plan's own")
        : spanFinding(parsed.functionTimeout, (seconds) => {
            if (seconds * 1000 === FUNCTION_TIMEOUT_MS) return 'ok'
            return seconds * 1000 > FUNCTION_TIMEOUT_MS ? 'warn' : 'fail'
          }),
    ),
  ]
}

function parse(text: string): z.infer<typeof hostJson> | string {
  try {
    const result = hostJson.safeParse(JSON.parse(text))
    if (result.success) return result.data
    return result.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ')
  } catch (error) {
    return `no json (${toError(error).message})`
  }
}

/** .NET's `[d.]hh:mm:ss`; `-1` is without end. */
function spanFinding(text: string, judge: (seconds: number) => Finding['status']): Finding {
  if (text === '-1') return warn('-1, without end')
  const match = /^(?:(\d+)\.)?(\d\d):(\d\d):(\d\d)(?:\.\d+)?$/.exec(text)
  if (match === null) return fail(`"${text}", which is no hh:mm:ss`)
  const [days = 0, hours = 0, minutes = 0, seconds = 0] = match.slice(1).map((part) => Number(part ?? 0))
  const total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
  return { status: judge(total), got: `${total} s` }
}
