import { randomUUID } from 'node:crypto'
import type { BlobLeaseClient, BlobServiceClient } from '@azure/storage-blob'
import { toError } from '../errors.ts'
import { type IoHook, withoutHook } from '../io-hook.ts'
import { connectBlobs, statusOf, translate } from './blob-service.ts'
import type { StorageAccount } from './storage-account.ts'

export type BlobLease = {
  /** For its seconds from now on. False where another has it: also where it ran out and was taken. */
  readonly renew: () => Promise<boolean>
  readonly release: () => Promise<void>
}

/** Leases of blobs of one container. https://learn.microsoft.com/rest/api/storageservices/lease-blob */
export type BlobLeases = {
  /** Of a blob that is there, for 15 to 60 seconds. Null where another has it. */
  readonly acquire: (path: string, seconds: number) => Promise<BlobLease | null>
}

export type BlobLeasesOptions = {
  readonly account: StorageAccount
  readonly container: string
  readonly hook?: IoHook
}

export function openBlobLeases({ account, container, hook = withoutHook }: BlobLeasesOptions): BlobLeases {
  let opening: Promise<BlobServiceClient> | undefined
  const operation = (
    action: string,
    path: string,
    leaseId: string,
    run: (lease: BlobLeaseClient) => Promise<unknown>,
  ) =>
    hook({ client: 'blob', action, subject: `${container}/${path}` }, async () => {
      opening ??= connectBlobs(account)
      try {
        await run((await opening).getContainerClient(container).getBlobClient(path).getBlobLeaseClient(leaseId))
        return true
      } catch (error) {
        // 409: another has it, or it ran out and was taken.
        if (statusOf(error) === 409) return false
        throw translate(toError(error), `${action} of blob ${container}/${path}`)
      }
    })

  return {
    async acquire(path, seconds) {
      // Ours to choose: who did not hear the answer, and asks again, is given the same lease.
      const leaseId = randomUUID()
      if (!(await operation('lease', path, leaseId, (lease) => lease.acquireLease(seconds)))) return null
      return {
        renew: () => operation('renew lease', path, leaseId, (lease) => lease.renewLease()),
        async release() {
          await operation('release lease', path, leaseId, (lease) => lease.releaseLease())
        },
      }
    },
  }
}
