import type { Queryable, Statement } from '../../postgres/database.ts'
import { TENANT_NO } from '../postgres/read-statements.ts'

const PATHS_MAX = 1_000

// Of days below the boundary: what is above it is in the table too.
const OVERLAPPING: Statement = {
  name: 'overlapping_compacted_files',
  text: `
select f.path
  from metadata.compacted_file f
  join metadata.compaction c on c.kind = f.kind and f.stored_day < c.below
 where f.tenant_no = ${TENANT_NO} and ($2::text is null or f.kind = $2::text)
   and ($3::timestamptz is null or f.max_effective_at >= $3::timestamptz)
   and ($4::timestamptz is null or f.min_effective_at < $4::timestamptz)
 order by f.stored_day desc, f.kind
 limit ${PATHS_MAX}`,
}

/**
 * Paths in the container `metadata` of the files that may hold records which the table has no more: of one kind or of
 * all, and effective in `[from, to)`, RFC 3339. Newest days first, at most 1,000.
 */
export async function overlappingFiles(
  db: Queryable,
  tenant: string,
  kind: string | null,
  from: string | null,
  to: string | null,
): Promise<string[]> {
  const rows = await db.query<{ path: string }>(OVERLAPPING, [tenant, kind, from, to])
  return rows.map(({ path }) => path)
}
