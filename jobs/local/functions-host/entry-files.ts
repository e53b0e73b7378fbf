import { readdir, readFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { z } from 'zod'
import { ConfigError, toError } from '../../../shared/errors.ts'

const packageJson = z.object({ main: z.string().min(1) })

/**
 * The files that the worker would load: `main` of package.json, as a file or with a `*` in its last part
 * (`dist/functions/*.js`), sorted by name. Other patterns, which the worker knows, are refused.
 */
export async function findEntryFiles(packageJsonPath: string): Promise<readonly string[]> {
  let main: string
  try {
    main = packageJson.parse(JSON.parse(await readFile(packageJsonPath, 'utf8'))).main
  } catch (error) {
    throw new ConfigError([`${packageJsonPath}: expected a package.json with main, got ${toError(error).message}`])
  }
  const pattern = resolve(dirname(packageJsonPath), main)
  const folder = dirname(pattern)
  const [before, after, ...rest] = pattern.slice(folder.length + 1).split('*')
  if (/[*{}[\]?!]/.test(folder) || rest.length > 0 || before === undefined) {
    throw new ConfigError([`${packageJsonPath}: expected main as a file or with one * in its last part, got ${main}`])
  }
  if (after === undefined) return [pattern]
  const names = await readdir(folder).catch((error: unknown) => {
    throw new ConfigError([`${packageJsonPath}: expected the folder of main, ${main}, got ${toError(error).message}`])
  })
  const files = names.filter((name) => name.startsWith(before) && name.endsWith(after)).sort()
  if (files.length === 0)
    throw new ConfigError([`${packageJsonPath}: expected files that match main, ${main}, got none`])
  return files.map((name) => join(folder, name))
}
