import type { SchemaColumn } from '../../shared/metadata/model/kinds/schema-snapshot.ts'
import type {
  SchemaChange,
  SchemaForm,
  SchemaReaders,
} from '../../shared/metadata/producers/catalog/schema-difference.ts'

export type ChangeCase = {
  readonly what: string
  readonly before: SchemaForm
  readonly after: SchemaForm | null
  readonly readers?: SchemaReaders
  /** Change, column, severity; in the order in which they are told. */
  readonly told: readonly (readonly [SchemaChange['change'], string | null, SchemaChange['severity']])[]
}

const ID: SchemaColumn = { name: 'id', type: 'bigint', nullable: false, key: true }

/** A table of a key and `columns`. */
function table(...columns: readonly SchemaColumn[]): SchemaForm {
  return { columns: [ID, ...columns] }
}

function column(name: string, type = 'text', more: Partial<SchemaColumn> = {}): SchemaColumn {
  return { name, type, nullable: true, ...more }
}

/** One column `x` of this type, then of that. */
function retyped(before: string, after: string, more: Partial<SchemaColumn> = {}) {
  return { before: table(column('x', before, more)), after: table(column('x', after, more)) }
}

const sink = (type: string, more: { nullable?: boolean; checked?: boolean } = {}): SchemaReaders => ({
  sink: new Map([['x', { type, nullable: true, ...more }]]),
})

const WIDER: readonly (readonly [string, string])[] = [
  ['smallint', 'integer'],
  ['int4', 'int8'],
  ['int32', 'int64'],
  ['bigint', 'numeric'],
  ['integer', 'numeric(12, 2)'],
  ['real', 'double precision'],
  ['float', 'double'],
  ['character varying(10)', 'character varying(20)'],
  ['varchar(10)', 'text'],
  ['numeric(10,2)', 'numeric(12,2)'],
  ['numeric(10,2)', 'numeric(12,4)'],
  ['timestamp(3) without time zone', 'timestamp without time zone'],
  ['integer[]', 'bigint[]'],
]

const BROKEN: readonly (readonly [string, string])[] = [
  ['bigint', 'integer'],
  ['numeric', 'bigint'],
  ['bigint', 'numeric(10, 0)'],
  ['integer', 'double precision'],
  ['double precision', 'real'],
  ['character varying(10)', 'character varying(5)'],
  ['text', 'character varying(500)'],
  ['character(3)', 'character(5)'],
  ['numeric(10,2)', 'numeric(8,2)'],
  ['numeric(10,2)', 'numeric(10,1)'],
  ['numeric(10,2)', 'numeric(10,4)'],
  ['text', 'integer'],
  ['integer', 'text'],
  ['json', 'text'],
  ['json', 'jsonb'],
  ['date', 'timestamp without time zone'],
  ['timestamp without time zone', 'timestamp with time zone'],
  ['timestamptz', 'timestamp'],
  ['timestamp(us, utc)', 'timestamp(us, local)'],
  ['timestamp(us, utc)', 'timestamp(ms, utc)'],
  ['timestamp(6) with time zone', 'timestamp(3) with time zone'],
  ['integer', 'integer[]'],
  ['bigint[]', 'integer[]'],
]

const SAME: readonly (readonly [string, string])[] = [
  ['varchar(10)', 'character varying(10)'],
  ['INT4', 'integer'],
  ['timestamptz(3)', 'timestamp(3) with time zone'],
  ['timestamp', 'timestamp without time zone'],
  ['decimal(10,2)', 'numeric(10, 2)'],
  ['float8', 'double  precision'],
  ['enum mood ["sad","ok"]', 'enum feeling ["sad","ok"]'],
  ['text', 'character varying'],
]

const moods = (...values: readonly string[]) => `enum public.mood ${JSON.stringify(values)}`

const COLUMNS: readonly ChangeCase[] = [
  { what: 'the table is gone', before: table(), after: null, told: [['table_dropped', null, 'breaking']] },
  {
    what: 'a column of the key is gone',
    before: { columns: [ID, { ...ID, name: 'at' }, column('x')] },
    after: table(column('x')),
    told: [
      ['column_removed', 'at', 'breaking'],
      ['key_changed', null, 'breaking'],
    ],
  },
  {
    what: 'a column that is used is gone',
    before: table(column('x'), column('y')),
    after: table(column('y')),
    readers: { used: new Set(['x']) },
    told: [['column_removed', 'x', 'breaking']],
  },
  {
    what: 'a column that was never null is gone, and nobody says who used it',
    before: table(column('x', 'text', { nullable: false }), column('y')),
    after: table(column('y')),
    told: [['column_removed', 'x', 'breaking']],
  },
  {
    what: 'a column that could be null is gone',
    before: table(column('x'), column('y')),
    after: table(column('y')),
    told: [['column_removed', 'x', 'warning']],
  },
  {
    what: 'a column that is not used is gone',
    before: table(column('x', 'text', { nullable: false }), column('y')),
    after: table(column('y')),
    readers: { used: new Set(['y']) },
    told: [['column_removed', 'x', 'warning']],
  },
  {
    what: 'a column has another name and the same identity',
    before: { columns: [ID, column('x')], ids: ['1/1', '1/2'] },
    after: { columns: [ID, column('y')], ids: ['1/1', '1/2'] },
    told: [['column_renamed', 'x', 'breaking']],
  },
  {
    what: 'two columns have swapped their names',
    before: { columns: [ID, column('x'), column('y')], ids: ['1/1', '1/2', '1/3'] },
    after: { columns: [ID, column('y'), column('x')], ids: ['1/1', '1/2', '1/3'] },
    told: [
      ['column_renamed', 'x', 'breaking'],
      ['column_renamed', 'y', 'breaking'],
    ],
  },
  {
    what: 'the column of the key has another name and the same identity',
    before: { columns: [ID, column('x')], ids: ['1/1', '1/2'] },
    after: { columns: [{ ...ID, name: 'no' }, column('x')], ids: ['1/1', '1/2'] },
    told: [['column_renamed', 'id', 'breaking']],
  },
  {
    what: 'a column has another name, and nothing else says that it is the same',
    before: table(column('quantity')),
    after: table(column('quantities')),
    told: [
      ['column_removed', 'quantity', 'warning'],
      ['column_added', 'quantities', 'compatible'],
    ],
  },
  {
    what: 'the table was made again as it was',
    before: { columns: [ID, column('x')], ids: ['1/1', '1/2'] },
    after: { columns: [ID, column('x')], ids: ['2/1', '2/2'] },
    told: [],
  },
  {
    what: 'a column that may be null is new',
    before: table(),
    after: table(column('x')),
    told: [['column_added', 'x', 'compatible']],
  },
  {
    what: 'a column with a default is new',
    before: table(),
    after: table(column('x', 'integer', { nullable: false, default: '0' })),
    told: [['column_added', 'x', 'compatible']],
  },
  {
    what: 'a required column without a default is new',
    before: table(),
    after: table(column('x', 'integer', { nullable: false })),
    told: [['column_added', 'x', 'warning']],
  },
  {
    what: 'a required column without a default is new, and the target is written back to',
    before: table(),
    after: table(column('x', 'integer', { nullable: false })),
    readers: { writeBack: true },
    told: [['column_added', 'x', 'breaking']],
  },
  {
    what: 'a column may be null now',
    before: table(column('x', 'text', { nullable: false })),
    after: table(column('x')),
    told: [['nullability_changed', 'x', 'warning']],
  },
  {
    what: 'a column of the key may be null now',
    before: table(),
    after: { columns: [{ ...ID, nullable: true }] },
    told: [['nullability_changed', 'id', 'breaking']],
  },
  {
    what: 'a column may be null now, and the sink takes no null',
    before: table(column('x', 'text', { nullable: false })),
    after: table(column('x')),
    readers: sink('text', { nullable: false }),
    told: [['nullability_changed', 'x', 'breaking']],
  },
  {
    what: 'a column is never null any more',
    before: table(column('x')),
    after: table(column('x', 'text', { nullable: false })),
    told: [['nullability_changed', 'x', 'compatible']],
  },
  {
    what: 'one side does not say whether a column may be null',
    before: table({ name: 'x', type: 'text' }),
    after: table(column('x')),
    told: [],
  },
  {
    what: 'a column joins the key',
    before: table(column('x', 'text', { nullable: false })),
    after: table(column('x', 'text', { nullable: false, key: true })),
    told: [['key_changed', null, 'breaking']],
  },
  {
    what: 'there is a key where there was none',
    before: { columns: [{ name: 'id', type: 'bigint', nullable: false }] },
    after: table(),
    told: [['key_changed', null, 'breaking']],
  },
  {
    what: 'default and comment are others',
    before: table(column('x', 'text', { default: "'a'", comment: 'what' })),
    after: table(column('x')),
    told: [
      ['default_changed', 'x', 'info'],
      ['comment_changed', 'x', 'info'],
    ],
  },
  {
    what: 'columns have another order',
    before: table(column('x'), column('y')),
    after: table(column('y'), column('x')),
    told: [['position_changed', null, 'info']],
  },
  {
    what: 'a new column stands between the others',
    before: table(column('y')),
    after: table(column('x'), column('y')),
    told: [['column_added', 'x', 'compatible']],
  },
  {
    what: 'a new column stands between others that are known by their place',
    before: table(column('y')),
    after: table(column('x'), column('y')),
    readers: { positional: true },
    told: [
      ['position_changed', null, 'breaking'],
      ['column_added', 'x', 'compatible'],
    ],
  },
  {
    what: 'a column of the key has another collation',
    before: { columns: [{ ...ID, type: 'text' }] },
    after: { columns: [{ ...ID, type: 'text collate "C"' }] },
    told: [['type_changed', 'id', 'breaking']],
  },
  {
    what: 'a column has another collation',
    ...retyped('text', 'text collate "C"'),
    told: [['type_changed', 'x', 'warning']],
  },
  {
    what: 'the sink cannot hold the wider type',
    ...retyped('integer', 'bigint'),
    readers: sink('integer'),
    told: [['type_changed', 'x', 'breaking']],
  },
  {
    what: 'the sink holds the wider type',
    ...retyped('integer', 'bigint'),
    readers: sink('numeric'),
    told: [['type_changed', 'x', 'compatible']],
  },
  {
    what: 'an enum has one more value',
    ...retyped(moods('sad', 'ok'), moods('sad', 'ok', 'happy')),
    told: [['enum_changed', 'x', 'warning']],
  },
  {
    what: 'an enum has one value less',
    ...retyped(moods('sad', 'ok'), moods('ok')),
    told: [['enum_changed', 'x', 'warning']],
  },
  {
    what: 'an enum has another value, and the sink takes listed ones only',
    ...retyped(moods('sad', 'ok'), moods('sad', 'ok', 'happy')),
    readers: sink('text', { checked: true }),
    told: [['enum_changed', 'x', 'breaking']],
  },
]

/** A case for every row of the rules. */
export const CHANGE_CASES: readonly ChangeCase[] = [
  ...COLUMNS,
  ...WIDER.map(
    ([before, after]): ChangeCase => ({
      what: `${before} becomes ${after}`,
      ...retyped(before, after),
      told: [['type_changed', 'x', 'compatible']],
    }),
  ),
  ...BROKEN.map(
    ([before, after]): ChangeCase => ({
      what: `${before} becomes ${after}`,
      ...retyped(before, after),
      told: [['type_changed', 'x', 'breaking']],
    }),
  ),
  ...SAME.map(
    ([before, after]): ChangeCase => ({ what: `${before} is spelled ${after}`, ...retyped(before, after), told: [] }),
  ),
]
