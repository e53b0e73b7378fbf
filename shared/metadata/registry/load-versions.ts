import type { Database } from '../../postgres/database.ts'
import { behaviourOf, storedSchema } from './kind-rows.ts'
import { KIND_SCHEMAS, type KindVersionListed, type KindVersionRow, LIST_KIND_VERSIONS } from './kind-statements.ts'
import type { LoadedVersion } from './registered-kind.ts'
import type { SchemaNode } from './schema-node.ts'

/** Reads all that is published. Schemas are read once: they never change. */
export function createLoader(db: Database): () => Promise<readonly LoadedVersion[]> {
  const schemas = new Map<string, SchemaNode>()
  return async () => {
    const listed = await db.query<KindVersionListed>(LIST_KIND_VERSIONS)
    const rows = listed.filter(({ state }) => state !== 'draft')
    await loadSchemas(db, schemas, rows)
    return rows.flatMap((row): readonly LoadedVersion[] => {
      const schema = schemas.get(keyOf(row))
      return schema === undefined ? [] : [{ ...row, schema, behaviour: behaviourOf(row) }]
    })
  }
}

async function loadSchemas(
  db: Database,
  schemas: Map<string, SchemaNode>,
  rows: readonly KindVersionListed[],
): Promise<void> {
  const missing = rows.filter((row) => !schemas.has(keyOf(row)))
  if (missing.length === 0) return
  const found = await db.query<KindVersionRow>(KIND_SCHEMAS, [
    missing.map(({ kind }) => kind),
    missing.map(({ major }) => major),
    missing.map(({ minor }) => minor),
  ])
  for (const row of found) schemas.set(keyOf(row), storedSchema(row).root)
}

function keyOf({ kind, major, minor }: Pick<KindVersionListed, 'kind' | 'major' | 'minor'>): string {
  return `${kind} ${major}.${minor}`
}
