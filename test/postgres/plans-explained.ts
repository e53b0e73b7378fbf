import pg from 'pg'
import { withoutHook } from '../../shared/io-hook.ts'
import { type Database, openDatabase, type Queryable, type Statement } from '../../shared/postgres/database.ts'
import { toParameter } from '../../shared/postgres/types.ts'

/** One node of a plan, as `explain (format json, verbose)` spells it. */
export type PlanNode = {
  readonly 'Node Type': string
  readonly 'Parent Relationship'?: string
  readonly Schema?: string
  readonly 'Relation Name'?: string
  readonly 'Index Name'?: string
  readonly 'Index Cond'?: string
  readonly Filter?: string
  readonly 'CTE Name'?: string
  readonly 'Plan Rows': number
  readonly Plans?: readonly PlanNode[]
}

export type ExplainedStatement = {
  readonly name: string
  /** For the values that it was first called with, and what PostgreSQL stays with once it is called often. */
  readonly plans: readonly [PlanNode, PlanNode]
}

export type ExplainedDatabase = {
  /** Every statement is explained before it runs, the first time that it is asked. */
  readonly db: Database
  readonly explained: ReadonlyMap<string, ExplainedStatement>
}

/** A prepared statement is planned for its values five times; then a plan for any values may take over. */
const EXECUTIONS = 6

/** Explained on a connection of its own: an explain locks no row and changes nothing. */
export function openExplainedDatabase(url: string): ExplainedDatabase {
  const connection = { kind: 'url' as const, url }
  const real = openDatabase({ connection, connectionsMax: 2, applicationName: 'plans' }, withoutHook)
  const client = new pg.Client({ connectionString: url, options: '-c TimeZone=UTC', application_name: 'plans' })
  const connected = client.connect()
  const explained = new Map<string, ExplainedStatement>()
  let turn: Promise<unknown> = connected

  const explain = async ({ name, text }: Statement, values: readonly unknown[]) => {
    const statement = `s${explained.size}`
    const given = values.length === 0 ? '' : `(${values.map(literal).join(', ')})`
    await client.query(`prepare ${statement} as ${text}`)
    const plans: PlanNode[] = []
    for (let execution = 0; execution < EXECUTIONS; execution++) {
      const { rows } = await client.query(`explain (format json, verbose) execute ${statement}${given}`)
      plans.push((rows[0] as { 'QUERY PLAN': [{ Plan: PlanNode }] })['QUERY PLAN'][0].Plan)
    }
    explained.set(name, { name, plans: [plans[0] as PlanNode, plans.at(-1) as PlanNode] })
  }
  const through = (inner: Queryable): Queryable => ({
    async query(statement, values = []) {
      turn = turn.then(async () => {
        if (!explained.has(statement.name)) await explain(statement, values)
      })
      await turn
      return inner.query(statement, values)
    },
  })
  return {
    explained,
    db: {
      ...through(real),
      transaction: (work) => real.transaction((tx) => work(through(tx))),
      async close() {
        await connected
        await client.end()
        await real.close()
      },
    },
  }
}

/** As `execute` takes it: it has no parameters of its own. */
function literal(value: unknown): string {
  const given = toParameter(value)
  if (given === null || given === undefined) return 'null'
  if (Buffer.isBuffer(given)) return `'\\x${given.toString('hex')}'`
  if (Array.isArray(given)) return pg.escapeLiteral(`{${given.map(element).join(',')}}`)
  return pg.escapeLiteral(typeof given === 'object' ? JSON.stringify(given) : String(given))
}

function element(value: unknown): string {
  const given = toParameter(value)
  return given === null || given === undefined ? 'null' : `"${String(given).replace(/["\\]/g, '\\$&')}"`
}

/**
 * The tables of which a plan reads all: by sequential scan, or by an index that it does not look anything up in. A
 * partial index is made for that: it holds only what is looked for.
 */
export function readsAllOf(plan: PlanNode, partialIndexes: ReadonlySet<string>): readonly string[] {
  const below = (plan.Plans ?? []).flatMap((node) => readsAllOf(node, partialIndexes))
  const { 'Node Type': type, 'Index Name': index = '', 'Index Cond': condition } = plan
  if (type === 'Seq Scan') return [`${plan.Schema}.${plan['Relation Name']}`, ...below]
  const wholeIndex = /^(Bitmap )?Index/.test(type) && condition === undefined && !partialIndexes.has(index)
  return wholeIndex ? [`${plan.Schema ?? ''}.${plan['Relation Name'] ?? index}`, ...below] : below
}

/**
 * The CTEs that a plan reads from end to end for each of many rows: what is quick for ten streams takes a million times
 * as long for ten thousand.
 */
export function rereads(plan: PlanNode, parent?: PlanNode, again = false): readonly string[] {
  const { 'Node Type': type, 'Parent Relationship': relationship, 'CTE Name': cte } = plan
  const perRow = relationship === 'SubPlan' ? parent : relationship === 'Inner' ? outerOf(parent) : undefined
  const here = relationship !== 'InitPlan' && (again || (perRow !== undefined && perRow['Plan Rows'] > 1))
  // A filter leaves one row of many.
  const many = plan.Filter !== undefined || plan['Plan Rows'] > 1
  const found = here && type === 'CTE Scan' && many ? [`${cte}`] : []
  return [...found, ...(plan.Plans ?? []).flatMap((node) => rereads(node, plan, here))]
}

function outerOf(join: PlanNode | undefined): PlanNode | undefined {
  if (join?.['Node Type'] !== 'Nested Loop') return undefined
  return join.Plans?.find((node) => node['Parent Relationship'] === 'Outer')
}

/** Of a plan, a line per node: what a failed test shows. */
export function outline(plan: PlanNode, depth = 0): string {
  const { 'Node Type': type, 'Index Name': index, 'Index Cond': condition } = plan
  const about = [plan['Relation Name'] ?? plan['CTE Name'], index, condition, `${plan['Plan Rows']} rows`].filter(
    (part) => part,
  )
  const lines = (plan.Plans ?? []).map((node) => outline(node, depth + 1))
  return [`${'  '.repeat(depth)}${type} ${about.join(' | ')}`, ...lines].join('\n')
}
