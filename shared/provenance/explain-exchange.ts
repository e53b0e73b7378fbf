import { ContractError, PermanentError } from '../errors.ts'
import { type BoundProvider, type ProviderRequest, requestFingerprint, type Window } from '../sources/contract.ts'

/** One page of a chain with the request that it answers. */
export type Exchange = {
  readonly pageNo: number
  readonly request: ProviderRequest
  readonly body: Uint8Array
  readonly records: number
  readonly token: string | null
  readonly next: string | null
}

/** A stored page: its body, and the fingerprint of the request that was kept with it. */
export type StoredAnswer = { readonly body: Uint8Array; readonly requestFingerprint: string }

/**
 * Finds the requests of a chain again from what is stored alone: the first asks without a token, each other one with
 * the token that the page before names. That they are the ones that were sent is proven by their fingerprints. Throws
 * PermanentError where they are not: the source asks in another way now, or a page belongs to another chain.
 */
export async function* exchangesOf(
  bound: BoundProvider,
  window: Window,
  readAnswer: (pageNo: number) => Promise<StoredAnswer>,
): AsyncGenerator<Exchange> {
  let token: string | null = null
  for (let pageNo = 0; ; pageNo++) {
    const request = bound.request(window, token)
    const { body, requestFingerprint: stored } = await readAnswer(pageNo)
    const fingerprint = requestFingerprint(request)
    if (fingerprint !== stored) {
      throw new PermanentError(
        `page ${pageNo}: expected the answer to ${request.path} of fingerprint ${fingerprint}, got one to ${stored}`,
      )
    }
    // Only a good answer lands, and only its status was not kept beside its bytes.
    const verdict = bound.page({ status: 200, headers: {}, body })
    if (verdict.kind !== 'page') throw new ContractError(`page ${pageNo}: expected a page, got ${verdict.kind}`)
    const { records, next }: { records: number; next: string | null } = verdict
    yield { pageNo, request, body, records, token, next }
    if (next === null) return
    token = next
  }
}
