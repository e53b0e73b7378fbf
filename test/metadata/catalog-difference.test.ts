import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { SchemaColumn } from '../../shared/metadata/model/kinds/schema-snapshot.ts'
import { compareTypes } from '../../shared/metadata/producers/catalog/column-type.ts'
import { compareSchemas, isSuspect, SEVERITIES } from '../../shared/metadata/producers/catalog/schema-difference.ts'
import { CHANGE_CASES } from './catalog-changes.ts'

const columns = (...names: readonly string[]): { readonly columns: readonly SchemaColumn[] } => ({
  columns: names.map((name) => ({ name, type: 'text', nullable: true })),
})

const anyColumn = fc.record(
  {
    name: fc.string({ minLength: 1, maxLength: 3 }),
    type: fc.oneof(
      fc.constantFrom('text', 'int8', 'constructor', 'varchar(5)', 'timestamptz', 'enum m ["a"]'),
      fc.string(),
    ),
    nullable: fc.boolean(),
    key: fc.boolean(),
    default: fc.string(),
  },
  { requiredKeys: ['name', 'type'] },
)
const anySchema = fc
  .uniqueArray(anyColumn, { selector: ({ name }) => name, maxLength: 6 })
  .map((found) => ({ columns: found }))

describe('the difference of two schemas', () => {
  test.each(CHANGE_CASES.map((one) => [one.what, one] as const))('%s', (_what, { before, after, readers, told }) => {
    const { changes } = compareSchemas(before, after, readers)
    expect(changes.map(({ change, column, severity }) => [change, column ?? null, severity])).toEqual(told)
  })

  test('says what was and what is', () => {
    const before = { columns: [{ name: 'x', type: 'int4', nullable: false }] }
    const after = { columns: [{ name: 'x', type: 'timestamp', nullable: true }] }
    expect(compareSchemas(before, after).changes).toEqual([
      {
        change: 'type_changed',
        column: 'x',
        before: 'int4',
        after: 'timestamp',
        severity: 'breaking',
        reason: 'another family of types',
      },
      { change: 'nullability_changed', column: 'x', before: 'not null', after: 'null', severity: 'warning' },
    ])
  })

  test('names the values that an enum has won and lost', () => {
    const mood = (...values: readonly string[]) => ({
      columns: [{ name: 'x', type: `enum mood ${JSON.stringify(values)}` }],
    })
    expect(compareSchemas(mood('sad', 'ok'), mood('ok', 'happy')).changes).toMatchObject([
      { change: 'enum_changed', reason: 'added happy, removed sad' },
    ])
  })

  test('never takes two columns for one by a guess, and says how alike they are', () => {
    const { changes, possibleRenames } = compareSchemas(columns('id', 'quantity'), columns('id', 'quantities'))
    expect(possibleRenames).toEqual([{ from: 'quantity', to: 'quantities', score: 0.75 }])
    expect(changes.map(({ change, reason }) => [change, reason])).toEqual([
      ['column_removed', 'possible rename to quantities: score 0.75'],
      ['column_added', 'possible rename of quantity: score 0.75'],
    ])
  })

  test.each([
    ['nothing in common but its type', columns('id', 'quantity'), columns('id', 'zz')],
    [
      'another type',
      columns('id', 'quantity'),
      {
        columns: [
          { name: 'id', type: 'text' },
          { name: 'quantities', type: 'bytea' },
        ],
      },
    ],
  ])('a new column with %s is no possible rename', (_what, before, after) => {
    expect(compareSchemas(before, after).possibleRenames).toEqual([])
  })

  test('of a schema and itself is nothing, whatever the schema', () => {
    fc.assert(
      fc.property(anySchema, (schema) => {
        expect(compareSchemas(schema, schema).changes).toEqual([])
      }),
    )
  })

  test('has the worst first, and every severity is a known one', () => {
    fc.assert(
      fc.property(anySchema, anySchema, (before, after) => {
        const ranks = compareSchemas(before, after).changes.map(({ severity }) => SEVERITIES.indexOf(severity))
        expect(ranks).toEqual([...ranks].sort((a, b) => a - b))
        expect(ranks).not.toContain(-1)
      }),
    )
  })

  test('of two types that widen each other is that they are the same', () => {
    const types = CHANGE_CASES.flatMap(({ before, after }) => [before, after ?? before])
      .flatMap((form) => form.columns)
      .map(({ type }) => type)
    for (const a of new Set(types)) {
      for (const b of new Set(types)) {
        const both = [compareTypes(a, b).kind, compareTypes(b, a).kind]
        expect(both, `${a}, ${b}`).not.toEqual(['wider', 'wider'])
        expect(both.filter((kind) => kind === 'same').length, `${a}, ${b}`).not.toBe(1)
      }
    }
  })

  test('of hostile type texts is found without long thought', () => {
    const texts = [
      ' '.repeat(2_000),
      `a${' '.repeat(1_999)}`,
      'a '.repeat(1_000),
      `a${'['.repeat(1_999)}`,
      '[]'.repeat(1_000),
    ]
    for (const text of texts) expect(compareTypes(text, `${text}!`).kind).toBe('broken')
  })
})

describe('a suspect snapshot', () => {
  test.each([
    ['half of the columns', columns('a', 'b', 'c', 'd'), columns('a', 'b', 'e', 'f'), true],
    ['less than half of them', columns('a', 'b', 'c', 'd', 'e'), columns('a', 'b', 'c'), false],
    ['no column', columns(), columns('a'), false],
  ])('is one in which %s are gone: %#', (_what, before, after, suspect) => {
    expect(isSuspect(before, after)).toBe(suspect)
  })

  test('is none where columns have other names by evidence', () => {
    const ids = ['1/1', '1/2']
    expect(isSuspect({ ...columns('a', 'b'), ids }, { ...columns('c', 'd'), ids })).toBe(false)
  })
})
