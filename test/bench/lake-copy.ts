import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { DuckDBConnection } from '@duckdb/node-api'
import { parseInstant } from '../../shared/instant.ts'
import type { Platform } from '../../shared/platform.ts'

/** Every raw page as the gzip file that it is; the name says what curated rows tell of their page. */
export async function copyRaw({ raw }: Platform, folder: string): Promise<number> {
  await mkdir(folder, { recursive: true })
  let pages = 0
  for await (const { path, metadata } of raw.list('')) {
    const observedAt = parseInstant(metadata.observedat ?? '')
    const name = `${observedAt}_${metadata.sha256?.slice(0, 16)}.json.gz`
    await writeFile(join(folder, name), (await raw.get(path))?.body ?? '', { flag: 'wx' })
    pages++
  }
  return pages
}

export async function copyCurated({ curated }: Platform, folder: string): Promise<void> {
  for await (const { path } of curated.list('')) {
    const file = join(folder, path)
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, (await curated.get(path))?.body ?? '')
  }
}

export type Compared = { readonly files: number; readonly bytes: number; readonly oursBytes: number }

/** Throws unless `theirs` has the rows of `ours`, in as many files. */
export async function compareLakes(ours: string, theirs: string, columns: readonly string[]): Promise<Compared> {
  const connection = await DuckDBConnection.create()
  const one = async (sql: string) => (await connection.runAndReadAll(sql)).getRowObjects()[0] ?? {}
  const glob = (folder: string) => `'${folder}/**/*.parquet'`
  const rows = (folder: string) =>
    `select ${columns.join(', ')} from read_parquet(${glob(folder)}, hive_partitioning = false)`
  const facts = async (folder: string) => ({
    ...(await one(`select count(*) as rows from (${rows(folder)})`)),
    ...(await one(`select count(*) as files, sum(size) as bytes from read_blob(${glob(folder)})`)),
  })
  try {
    await connection.run(`set timezone = 'UTC'`)
    const { unlike } = await one(`select count(*) as unlike from ((${rows(ours)}) except all (${rows(theirs)}))`)
    const [mine, other]: Record<string, unknown>[] = [await facts(ours), await facts(theirs)]
    if (mine?.files !== other?.files || mine?.rows !== other?.rows || unlike !== 0n) {
      const came = `${other?.rows} of ${other?.files}, where ${unlike} of ours are not`
      throw new Error(`${theirs}: expected the ${mine?.rows} rows of ${mine?.files} files, got ${came}`)
    }
    return { files: Number(mine?.files), bytes: Number(other?.bytes), oursBytes: Number(mine?.bytes) }
  } finally {
    connection.closeSync()
  }
}
