import {
  isJsonObject,
  parseJsonObject,
  type Refusal,
  refusalOf,
  refusalOfStatus,
  shownText,
  typeName,
} from '../answer.ts'
import type { PageVerdict, ProviderAnswer } from '../contract.ts'

/**
 * `{"bars":{"TSLA":[…]},"next_page_token":"…"|null}`. A page may be empty and still have a successor. The token must
 * be there, were it null: taking a lost or renamed one for the end would prove a window complete that is not.
 */
export function barsPage(answer: ProviderAnswer, { symbol }: { readonly symbol: string }): PageVerdict {
  const refusal = refusalOf(answer)
  if (refusal) return refusal
  const parsed = parseJsonObject(answer.body, answer.headers['content-type'] ?? 'no content type')
  if (!parsed.ok) return parsed.refusal
  const { bars, next_page_token: next, code, message } = parsed.object
  if (bars === undefined && typeof message === 'string') return hiddenError(answer, code, message)
  if (!isJsonObject(bars)) return broken(`bars: expected an object, got ${typeName(bars)}`)
  if (next !== null && (typeof next !== 'string' || next === '')) {
    return broken(`next_page_token: expected a token or null, got ${next === '' ? 'an empty one' : typeName(next)}`)
  }
  let records = 0
  for (const [name, list] of Object.entries(bars)) {
    if (name !== symbol) return broken(`bars: expected only ${symbol}, got ${shownText(name)}`)
    if (list !== null && !Array.isArray(list))
      return broken(`bars of ${name}: expected an array, got ${typeName(list)}`)
    records += list?.length ?? 0
  }
  return { kind: 'page', records, next }
}

/** `{"code":42910000,"message":"…"}` with HTTP 200: the code begins with the status that was meant. */
function hiddenError({ status, headers }: ProviderAnswer, code: unknown, message: string): Refusal {
  const detail = `expected bars, got http ${status} with code ${typeof code === 'number' ? code : typeName(code)}: ${shownText(message)}`
  const meant = typeof code === 'number' ? Number(String(code).slice(0, 3)) : 0
  return refusalOfStatus(meant, headers, detail)
}

function broken(detail: string): PageVerdict {
  return { kind: 'broken', detail }
}
