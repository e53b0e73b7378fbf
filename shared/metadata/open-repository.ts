import { openBlobLeases } from '../azure/blob-lease.ts'
import { openContainer } from '../azure/blobs.ts'
import type { StorageAccount } from '../azure/storage-account.ts'
import type { MetadataPlace } from '../config/metadata-settings.ts'
import type { IoHook } from '../io-hook.ts'
import type { KindBook } from './model/kind-book.ts'
import type { MetadataEnvironment } from './model/record.ts'
import type { MetadataRepository } from './model/repository.ts'

export type OpenedRepository = { readonly repository: MetadataRepository; readonly close: () => Promise<void> }

/** A repository that is not PostgreSQL. Loaded here: a process uses one kind, and most use neither of these. */
export async function openRepositoryElsewhere(
  place: Exclude<MetadataPlace, { kind: 'postgres' }>,
  environment: MetadataEnvironment,
  kinds: KindBook,
  account: StorageAccount,
  hook: IoHook,
): Promise<OpenedRepository> {
  if (place.kind === 'remote') {
    const { openRemoteRepository } = await import('./remote/http-repository.ts')
    const repository = openRemoteRepository({ url: place.url, token: place.token, environment, hook })
    return { repository, close: async () => undefined }
  }
  const { openEmbeddedRepository } = await import('./embedded/repository.ts')
  const store = await embeddedFiles(place.dir, account, hook)
  const repository = await openEmbeddedRepository({ store, environment, kinds })
  return { repository, close: repository.close }
}

async function embeddedFiles(dir: string | null, account: StorageAccount, hook: IoHook) {
  if (dir !== null) return (await import('./embedded/folder-files.ts')).folderFiles(dir)
  const { containerFiles } = await import('./embedded/container-files.ts')
  const container = 'metadata'
  return containerFiles({
    container: openContainer({ account, container, hook }),
    leases: openBlobLeases({ account, container, hook }),
    name: container,
  })
}
