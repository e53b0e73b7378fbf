import type { Queryable, Statement } from '../../postgres/database.ts'

export type TargetName = {
  readonly tenant: string
  readonly sourceId: string
  readonly schema: string
  readonly table: string
  readonly extras?: unknown
}

export type Numbers = {
  readonly tenantNo: (tenant: string) => number
  readonly targetNo: (target: TargetName) => number
}

/** Numbers of tenants and targets, which never change: those that are committed are remembered. */
export type NameBook = {
  /** Gives numbers to names that have none. In a transaction; `remember` once it is committed. */
  readonly resolve: (
    tx: Queryable,
    names: readonly TargetName[],
  ) => Promise<Numbers & { readonly remember: () => void }>
}

const REMEMBERED_MAX = 50_000

const FIND_TENANTS: Statement = {
  name: 'find_metadata_tenants',
  text: `select tenant, tenant_no as no from metadata.tenant where tenant = any($1::text[])`,
}

// Looked for first: an insert that finds them there takes numbers all the same. In order, as every lock is taken.
const ADD_TENANTS: Statement = {
  name: 'add_metadata_tenants',
  text: `
insert into metadata.tenant (tenant) select t from unnest($1::text[]) as t order by t on conflict do nothing`,
}

const FIND_TARGETS: Statement = {
  name: 'find_metadata_targets',
  text: `
select w.n, t.target_no as no
  from unnest($1::int[], $2::text[], $3::text[], $4::text[]) with ordinality
         as w (tenant_no, source_id, schema_name, table_name, n)
  join metadata.target t using (tenant_no, source_id, schema_name, table_name)`,
}

const ADD_TARGETS: Statement = {
  name: 'add_metadata_targets',
  text: `
insert into metadata.target (tenant_no, source_id, schema_name, table_name, extras)
select tenant_no, source_id, schema_name, table_name, extras::jsonb
  from unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::text[])
         as w (tenant_no, source_id, schema_name, table_name, extras)
 order by tenant_no, source_id, schema_name, table_name
on conflict do nothing`,
}

export function createNameBook(): NameBook {
  const tenants = new Map<string, number>()
  const targets = new Map<string, number>()
  return {
    async resolve(tx, names) {
      const tenantNos = await numbersOf(names, ({ tenant }) => tenant, tenants, {
        find: async (missing) => {
          const rows = await tx.query<{ tenant: string; no: number }>(FIND_TENANTS, [
            missing.map(({ tenant }) => tenant),
          ])
          return rows.map(({ tenant, no }) => [tenant, no])
        },
        add: (missing) => tx.query(ADD_TENANTS, [missing.map(({ tenant }) => tenant)]),
      })
      const columnsOf = (missing: readonly TargetName[]) => [
        missing.map(({ tenant }) => numberOf(tenantNos, tenant)),
        missing.map(({ sourceId }) => sourceId),
        missing.map(({ schema }) => schema),
        missing.map(({ table }) => table),
      ]
      const targetNos = await numbersOf(names, targetKey, targets, {
        find: async (missing) => {
          const rows = await tx.query<{ n: number; no: number }>(FIND_TARGETS, columnsOf(missing))
          return rows.map(({ n, no }) => [targetKey(missing[n - 1] as TargetName), no])
        },
        add: (missing) =>
          tx.query(ADD_TARGETS, [...columnsOf(missing), missing.map(({ extras }) => JSON.stringify(extras ?? {}))]),
      })
      return {
        tenantNo: (tenant) => numberOf(tenantNos, tenant),
        targetNo: (target) => numberOf(targetNos, targetKey(target)),
        remember() {
          keep(tenants, tenantNos)
          keep(targets, targetNos)
        },
      }
    },
  }
}

type Lookup = {
  readonly find: (missing: readonly TargetName[]) => Promise<readonly (readonly [string, number])[]>
  readonly add: (missing: readonly TargetName[]) => Promise<unknown>
}

async function numbersOf(
  names: readonly TargetName[],
  keyOf: (name: TargetName) => string,
  remembered: ReadonlyMap<string, number>,
  { find, add }: Lookup,
): Promise<ReadonlyMap<string, number>> {
  const wanted = new Map(names.map((name) => [keyOf(name), name]))
  const found = new Map<string, number>()
  for (const key of wanted.keys()) {
    const no = remembered.get(key)
    if (no !== undefined) found.set(key, no)
  }
  const missing = () => [...wanted].filter(([key]) => !found.has(key)).map(([, name]) => name)
  const look = async () => {
    for (const [key, no] of await find(missing())) found.set(key, no)
  }
  if (missing().length > 0) await look()
  if (missing().length > 0) {
    await add(missing())
    await look()
  }
  return found
}

function targetKey({ tenant, sourceId, schema, table }: TargetName): string {
  return JSON.stringify([tenant, sourceId, schema, table])
}

function numberOf(numbers: ReadonlyMap<string, number>, key: string): number {
  const no = numbers.get(key)
  if (no === undefined) throw new Error(`metadata name ${key}: expected a number, got none`)
  return no
}

function keep(into: Map<string, number>, found: ReadonlyMap<string, number>): void {
  if (into.size + found.size > REMEMBERED_MAX) into.clear()
  for (const [key, no] of found) into.set(key, no)
}
