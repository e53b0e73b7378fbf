import { readdirSync } from 'node:fs'
import { beforeAll, describe, expect, test } from 'vitest'
import { openAlert } from '../../shared/ops/alerts.ts'
import { tributary } from '../jobs/cli-run.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { openWorkbench, TWO_YEARS } from '../support/workbench.ts'
import { list, record, text } from './bicep/functions.ts'
import { deployMain, ofType, propertiesOf, ROOT, readJson, readText } from './deployment.ts'

const FILES = readdirSync(new URL('infra/queries/', ROOT))
/** Columns of Azure's own tables that the queries read, and the type of telemetry that fills each. */
const TABLES: Readonly<Record<string, { readonly columns: readonly string[]; readonly telemetry: string | null }>> = {
  AppTraces: { columns: ['TimeGenerated', 'Message'], telemetry: 'Trace' },
  AppRequests: { columns: ['TimeGenerated', 'Name', 'DurationMs'], telemetry: 'Request' },
  ContainerAppConsoleLogs: { columns: ['TimeGenerated', 'Log'], telemetry: null },
  Usage: { columns: ['TimeGenerated', 'IsBillable', 'Quantity', 'DataType'], telemetry: null },
}

const tablesOf = (query: string) => Object.keys(TABLES).filter((table) => new RegExp(`\\b${table}\\b`).test(query))
/** `tostring(line.event) == 'a'` and `in ('a', 'b')`. */
const eventsOf = (query: string) =>
  [...query.matchAll(/tostring\(line\.event\) (?:==|in) (\('[^)]*\)|'[^']*')/g)].flatMap(([, names = '']) =>
    [...names.matchAll(/'([a-z_]+)'/g)].map(([, name = '']) => name),
  )
const fieldsOf = (query: string) => [...query.matchAll(/\bline\.(\w+)/g)].map(([, field = '']) => field)

describe('queries of alert rules and workbook', () => {
  const environment = useTestEnvironment()
  /** Fields by event, of lines that the code really wrote. */
  const written = new Map<string, Set<string>>()
  const note = (line: Readonly<Record<string, unknown>>) => {
    const fields = written.get(String(line.event)) ?? new Set()
    for (const field of Object.keys(line)) fields.add(field)
    written.set(String(line.event), fields)
  }

  beforeAll(async () => {
    const { databaseUrl, storageConnectionString } = environment
    const history = { ...TWO_YEARS, origin: '2000-01-03', until: '2003-01-01', history: 'backfill' }
    const bench = await openWorkbench({ databaseUrl, storageConnectionString, streams: [history] })
    await bench.settle()
    await openAlert(bench.platform.db, { kind: 'freshness', severity: 'warning', subject: 'x', detail: {} })
    await bench.sweep()
    await bench.query('update ops.alert set closed_at = now()')
    await bench.sweep()
    const planned = await tributary(bench.platform, ['--json', 'backfill', 'plan', '--stream', '*'])
    const { backfillId } = planned.json<{ backfillId: string }>()
    const ran = await tributary(bench.platform, ['--json', 'backfill', 'run', backfillId])
    for (const line of ran.err.trim().split('\n')) note(JSON.parse(line))
    for (const line of bench.logged) note(line)
    await bench.close()
  }, 120_000)

  test.each(FILES)('%s reads tables that Azure has', (file) => {
    const query = readText(`infra/queries/${file}`)
    expect(tablesOf(query)).not.toEqual([])
    const columns = tablesOf(query).flatMap((table) => TABLES[table]?.columns ?? [])
    // Capitalised words that are neither columns nor named by the query itself.
    const words = query.replaceAll(/\/\/.*|'[^']*'|\['[^']*'\]/g, '').match(/\b[A-Z]\w+/g) ?? []
    const named = [...Object.keys(TABLES), ...columns, 'Text', 'MB']
    expect(words.filter((word) => !named.includes(word))).toEqual([])
  })

  test.each(FILES.filter((file) => eventsOf(readText(`infra/queries/${file}`)).length > 0))(
    '%s names events and fields that the code writes',
    (file) => {
      const query = readText(`infra/queries/${file}`)
      const events = eventsOf(query)
      expect(events.filter((event) => !isEvent(event, written))).toEqual([])
      const fields = new Set(events.flatMap((event) => [...(written.get(event) ?? OF_SETTLED)]))
      expect(fieldsOf(query).filter((field) => !fields.has(field))).toEqual([])
    },
  )

  test.each(FILES)('%s works in a workspace that has no line yet', (file) => {
    const query = readText(`infra/queries/${file}`)
    const created = tablesOf(query).filter((table) => table !== 'Usage')
    if (created.length > 0) expect(query).toMatch(/^(\/\/.*\n)*union isfuzzy=true\s+\(datatable\(/)
  })

  test('what they read is never sampled away', () => {
    const { applicationInsights } = record(readJson('host.json').logging)
    const { excludedTypes } = record(record(applicationInsights).samplingSettings)
    const telemetry = FILES.flatMap((file) => tablesOf(readText(`infra/queries/${file}`))).map(
      (table) => TABLES[table]?.telemetry,
    )
    for (const type of new Set(telemetry)) if (type) expect(text(excludedTypes).split(';')).toContain(type)
  })

  test('are all used: by a rule or by the workbook', () => {
    const bicep = readText('infra/app/alerts.bicep') + readText('infra/app/workbook.bicep')
    expect(FILES.filter((file) => !bicep.includes(`../queries/${file}`))).toEqual([])
  })
})

describe('alert rules', () => {
  const template = deployMain()
  const rules = ofType(template, 'Microsoft.Insights/scheduledQueryRules')

  test('are deployed before their table exists', () => {
    expect(rules.map((rule) => propertiesOf(rule).skipQueryValidation)).toEqual([true, true])
  })

  test('carry each kind of alert on its own, and silence as the absence of rows', () => {
    const criteria = rules.map((rule) => record(list(record(propertiesOf(rule).criteria).allOf)[0]))
    expect(criteria).toMatchObject([
      { operator: 'GreaterThan', threshold: 0, timeAggregation: 'Count', dimensions: [{ name: 'kind' }] },
      { operator: 'LessThan', threshold: 1, metricMeasureColumn: 'n' },
    ])
    // Grouped by anything, no row would be no answer, and no alert.
    expect(text(criteria[1]?.query)).toMatch(/summarize n = count\(\)\n$/)
  })

  test('tell the people of the action group', () => {
    const told = [...rules, ...ofType(template, 'Microsoft.Insights/metricAlerts')].map((rule) =>
      JSON.stringify(propertiesOf(rule).actions),
    )
    expect(told).toHaveLength(4)
    for (const actions of told) expect(actions).toContain('/Microsoft.Insights/actionGroups/ag-')
  })

  test('the kinds of alert of the code are those of docs/portal.md', () => {
    const code = sharedCode()
    const standing = /STANDING_KINDS = \[([^\]]+)\]/.exec(code)?.[1]?.match(/[a-z_]{3,}/g) ?? []
    const opened = [...code.matchAll(/kind: '([a-z_]+)',\s*(?:severity|subject)/g)].map(([, kind = '']) => kind)
    const said = [...readText('docs/portal.md').matchAll(/^\| ((?:`[a-z_]+`(?:, )?)+) \|/gm)].flatMap(
      ([, kinds = '']) => kinds.match(/[a-z_]+/g) ?? [],
    )
    expect(said.sort()).toEqual([...new Set([...standing, ...opened])].sort())
  })
})

function sharedCode(): string {
  const files = readdirSync(new URL('shared/', ROOT), { recursive: true }).map(String)
  return files
    .filter((file) => file.endsWith('.ts'))
    .map((file) => readText(`shared/${file}`))
    .join('\n')
}

/** Fields of a line about an ingest that did not get through: `settle` writes the same for each. */
const OF_SETTLED = ['event', 'source_ingest_id', 'epoch', 'stream', 'error_class', 'detail', 'error']

function isEvent(event: string, written: ReadonlyMap<string, unknown>): boolean {
  if (written.has(event)) return true
  const code = sharedCode()
  const [, settled = ''] = /type Settled =([^\n]+)/.exec(code) ?? []
  const [, worked = ''] = /type Worked =([^\n]+)/.exec(code) ?? []
  return [...(settled + worked).matchAll(/'([a-z-]+)'/g)].some(
    ([, name = '']) => `ingest_${name.replaceAll('-', '_')}` === event,
  )
}
