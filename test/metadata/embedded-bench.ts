import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import type { EmbeddedFiles } from '../../shared/metadata/embedded/files.ts'
import { folderFiles } from '../../shared/metadata/embedded/folder-files.ts'
import { type EmbeddedRepository, openEmbeddedRepository } from '../../shared/metadata/embedded/repository.ts'
import { fixedKinds } from '../../shared/metadata/model/kind-book.ts'
import { KINDS } from '../../shared/metadata/model/kinds.ts'

export const EMBEDDED_TENANT = 'ours'

/** Segments of a few lines, and an index after every third record: what happens once in a thousand otherwise. */
const SMALL = { segmentBytes: 2_000, indexGrowthMin: 3 }

export function openEmbedded(store: EmbeddedFiles): Promise<EmbeddedRepository> {
  return openEmbeddedRepository({
    store,
    environment: { tenant: EMBEDDED_TENANT },
    kinds: fixedKinds(KINDS),
    limits: SMALL,
  })
}

export type Folder = {
  readonly path: string
  readonly files: EmbeddedFiles
  /** Of the tenant, by path. */
  readonly list: () => Promise<readonly string[]>
  readonly text: (path: string) => Promise<string>
}

/** Folders that are gone after the tests. */
export function useFolders(): () => Promise<Folder> {
  let root: string | undefined
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'tributary-embedded-'))
  })
  afterAll(async () => {
    if (root !== undefined) await rm(root, { recursive: true })
  })
  return async () => {
    const path = await mkdtemp(join(root ?? '', 'case-'))
    const tenant = join(path, EMBEDDED_TENANT)
    return {
      path,
      files: folderFiles(path),
      async list() {
        const items = await readdir(tenant, { recursive: true, withFileTypes: true })
        const files = items.filter((item) => item.isFile())
        return files
          .map(({ parentPath, name }) => relative(tenant, join(parentPath, name)).replaceAll('\\', '/'))
          .sort()
      },
      text: (file) => readFile(join(tenant, file), 'utf8'),
    }
  }
}
