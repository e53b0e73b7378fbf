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

export type FolderFacts = { readonly files: number; readonly rows: number; readonly bytes: number }

/** A benchmark of work that was not done measures nothing: the other's rows must be ours, file by file as many. */
export async function compareLakes(ours: string, theirs: string, columns: readonly string[]): Promise<FolderFacts> {
  const connection = await DuckDBConnection.create()
  const files = (folder: string) => `read_parquet('${folder}/**/*.parquet', hive_partitioning = false)`
  const rows = (folder: string) => `select ${columns.join(', ')} from ${files(folder)}`
  const one = async (sql: string) => (await connection.runAndReadAll(sql)).getRowObjects()[0] ?? {}
  const facts = (folder: string) =>
    one(`select count(*) as files, sum(rows) as rows
           from (select count(*) as rows from ${files(folder).replace(')', ', filename = true)')} group by filename)`)
  try {
    await connection.run(`set timezone = 'UTC'`)
    const [a, b] = [await facts(ours), await facts(theirs)]
    const { missing, more } =
      await one(`select (select count(*) from (${rows(ours)} except ${rows(theirs)})) as missing,
                                                (select count(*) from (${rows(theirs)} except ${rows(ours)})) as more`)
    const { bytes } = await one(`select sum(size) as bytes from read_blob('${theirs}/**/*.parquet')`)
    if (a.files !== b.files || a.rows !== b.rows || missing !== 0n || more !== 0n) {
      throw new Error(
        `${theirs}: expected the ${a.rows} rows of ${a.files} files, got ${b.rows} of ${b.files}; ${missing} are missing, ${more} are others`,
      )
    }
    return { files: Number(a.files), rows: Number(a.rows), bytes: Number(bytes) }
  } finally {
    connection.closeSync()
  }
}
