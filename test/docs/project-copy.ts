import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
/** At the root: what is made, what is history, and what is linked. */
const LEFT_OUT = new Set(['node_modules', 'dist', '.git', '.tributary'])

export type ProjectCopy = {
  readonly folder: string
  /** Writes a file that is not there yet; throws where one is. */
  readonly add: (path: string, text: string) => Promise<void>
  /** Changes one place of a file; throws where there is no such place, and names what was looked for. */
  readonly edit: (path: string, place: RegExp, replacement: string) => Promise<void>
  readonly remove: () => Promise<void>
}

/** The repository as it is on disk, in a folder of its own, with the same dependencies. */
export async function copyProject(): Promise<ProjectCopy> {
  const folder = await mkdtemp(join(tmpdir(), 'tributary-copy-'))
  await cp(ROOT, folder, {
    recursive: true,
    filter: (path) => !(LEFT_OUT.has(basename(path)) && relative(ROOT, path) === basename(path)),
  })
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'), 'junction')
  return {
    folder,
    async add(path, text) {
      await mkdir(dirname(join(folder, path)), { recursive: true })
      await writeFile(join(folder, path), text, { flag: 'wx' })
    },
    async edit(path, place, replacement) {
      const before = await readFile(join(folder, path), 'utf8')
      if (!place.test(before)) throw new Error(`${path}: expected a place like ${place}, got none`)
      // A function: `$` in the page's code is no reference to a group.
      await writeFile(
        join(folder, path),
        before.replace(place, (found) => found + replacement),
      )
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}
