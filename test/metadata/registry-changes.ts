import type { Change, Verdict } from '../../shared/metadata/registry/compare.ts'

/** A payload with one property `a`, unless `keywords` say otherwise. */
const payload = (a: object, keywords: object = {}) => ({ type: 'object', properties: { a }, ...keywords })
const text = { type: 'string' }
const object = (keywords: object = {}) => ({ type: 'object', ...keywords })

type SchemaChange = {
  readonly name: string
  readonly older: object
  readonly newer: object
  readonly differences: readonly (readonly [pointer: string, change: Change, verdict: Verdict])[]
}

/** From `older` to `newer` of one property. */
const ofA = (
  name: string,
  older: object,
  newer: object,
  keyword: string,
  change: Change,
  verdict: Verdict,
): SchemaChange => ({
  name,
  older: payload(older),
  newer: payload(newer),
  differences: [[`/properties/a/${keyword}`, change, verdict]],
})

/** One case for each change that a schema can go through, and what has to be said about it. */
export const SCHEMA_CHANGES: readonly SchemaChange[] = [
  // What is added
  {
    name: 'an optional property is added',
    older: payload(text),
    newer: { ...payload(text), properties: { a: text, b: text } },
    differences: [['/properties/b', 'optional-property-added', 'minor']],
  },
  {
    name: 'an optional property is added deep down',
    older: payload({ type: 'array', items: object({ properties: { b: text } }) }),
    newer: payload({ type: 'array', items: object({ properties: { b: text, c: text } }) }),
    differences: [['/properties/a/items/properties/c', 'optional-property-added', 'minor']],
  },
  {
    name: 'a required property is added',
    older: payload(text),
    newer: { type: 'object', properties: { a: text, b: text }, required: ['b'] },
    differences: [['/properties/b', 'required-property-added', 'major']],
  },
  {
    name: 'an optional property is added to an open object, in which writers may have said anything',
    older: payload(text, { additionalProperties: true }),
    newer: { type: 'object', properties: { a: text, b: text }, additionalProperties: true },
    differences: [['/properties/b', 'property-added-to-open-object', 'major']],
  },
  {
    name: 'an optional property is added to extras, which are open',
    older: { type: 'object', properties: { extras: object() } },
    newer: { type: 'object', properties: { extras: object({ properties: { b: text } }) } },
    differences: [['/properties/extras/properties/b', 'property-added-to-open-object', 'major']],
  },
  {
    name: 'an optional property is added to a map',
    older: payload(object({ additionalProperties: text })),
    newer: payload(object({ properties: { b: text }, additionalProperties: text })),
    differences: [['/properties/a/properties/b', 'property-added-to-open-object', 'major']],
  },

  // What is said to people
  ofA('a description is added', text, { ...text, description: 'b' }, 'description', 'text-changed', 'minor'),
  ofA('a title is changed', { ...text, title: 'b' }, { ...text, title: 'c' }, 'title', 'text-changed', 'minor'),
  ofA('an example is added', text, { ...text, examples: ['b'] }, 'examples', 'text-changed', 'minor'),
  ofA('a property is deprecated', text, { ...text, deprecated: true }, 'deprecated', 'text-changed', 'minor'),
  {
    name: 'properties, required names and enum values are written in another order',
    older: {
      type: 'object',
      properties: { a: { type: 'string', enum: ['x', 'y'] }, b: text },
      required: ['a', 'b'],
    },
    newer: {
      required: ['b', 'a'],
      properties: { b: text, a: { enum: ['y', 'x'], type: 'string' } },
      type: 'object',
    },
    differences: [],
  },
  {
    name: 'what is closed by itself says so',
    older: payload(text),
    newer: payload(text, { additionalProperties: false }),
    differences: [],
  },

  // What is required, and what is gone
  {
    name: 'an optional property is removed',
    older: { type: 'object', properties: { a: text, b: text } },
    newer: payload(text),
    differences: [['/properties/b', 'property-removed', 'major']],
  },
  {
    name: 'a required property is removed',
    older: { type: 'object', properties: { a: text, b: text }, required: ['b'] },
    newer: payload(text),
    differences: [['/properties/b', 'property-removed', 'major']],
  },
  {
    name: 'a property is renamed',
    older: payload(text),
    newer: { type: 'object', properties: { b: text } },
    differences: [
      ['/properties/a', 'property-removed', 'major'],
      ['/properties/b', 'optional-property-added', 'minor'],
    ],
  },
  {
    name: 'an optional property becomes required',
    older: payload(text),
    newer: payload(text, { required: ['a'] }),
    differences: [['/properties/a', 'property-required', 'major']],
  },
  {
    name: 'a required property becomes optional',
    older: payload(text, { required: ['a'] }),
    newer: payload(text),
    differences: [['/properties/a', 'property-not-required', 'major']],
  },

  // Types
  ofA('integer becomes number', { type: 'integer' }, { type: 'number' }, 'type', 'type-changed', 'never'),
  ofA('number becomes integer', { type: 'number' }, { type: 'integer' }, 'type', 'type-changed', 'never'),
  ofA('text becomes a number', text, { type: 'number' }, 'type', 'type-changed', 'never'),
  ofA('a value becomes a list of them', text, { type: 'array', items: text }, 'type', 'type-changed', 'never'),
  ofA('a type is added', text, { type: ['string', 'number'] }, 'type', 'type-changed', 'never'),
  ofA('null is allowed', text, { type: ['string', 'null'] }, 'type', 'null-allowed', 'major'),
  ofA('null is refused', { type: ['null', 'string'] }, text, 'type', 'null-refused', 'major'),
  ofA(
    'what is in a list changes its type',
    { type: 'array', items: text },
    { type: 'array', items: { type: 'number' } },
    'items/type',
    'type-changed',
    'never',
  ),
  ofA(
    'what is in a map changes its type',
    object({ additionalProperties: text }),
    object({ additionalProperties: { type: 'number' } }),
    'additionalProperties/type',
    'type-changed',
    'never',
  ),

  // Enums
  ofA(
    'an open enum gets a value',
    { ...text, enum: ['x'], 'x-open-enum': true },
    { ...text, enum: ['x', 'y'], 'x-open-enum': true },
    'enum',
    'open-enum-value-added',
    'minor',
  ),
  ofA(
    'an enum gets a value',
    { ...text, enum: ['x'] },
    { ...text, enum: ['x', 'y'] },
    'enum',
    'enum-value-added',
    'major',
  ),
  ofA(
    'an enum loses a value',
    { ...text, enum: ['x', 'y'] },
    { ...text, enum: ['x'] },
    'enum',
    'enum-value-removed',
    'major',
  ),
  ofA(
    'an open enum loses a value',
    { ...text, enum: ['x', 'y'], 'x-open-enum': true },
    { ...text, enum: ['x'], 'x-open-enum': true },
    'enum',
    'enum-value-removed',
    'major',
  ),
  {
    name: 'an enum is opened and gets a value, which its readers do not expect',
    older: payload({ ...text, enum: ['x'] }),
    newer: payload({ ...text, enum: ['x', 'y'], 'x-open-enum': true }),
    differences: [
      ['/properties/a/x-open-enum', 'enum-opened', 'major'],
      ['/properties/a/enum', 'enum-value-added', 'major'],
    ],
  },
  ofA(
    'an open enum is closed',
    { ...text, enum: ['x'], 'x-open-enum': true },
    { ...text, enum: ['x'] },
    'x-open-enum',
    'enum-closed',
    'major',
  ),
  ofA('text becomes an enum', text, { ...text, enum: ['x'] }, 'enum', 'values-restricted', 'major'),
  ofA('an enum becomes text', { ...text, enum: ['x'] }, text, 'enum', 'values-unrestricted', 'major'),
  {
    name: 'a constant becomes an enum of it',
    older: payload({ ...text, const: 'x' }),
    newer: payload({ ...text, enum: ['x'] }),
    differences: [],
  },
  {
    name: 'a constant becomes another',
    older: payload({ ...text, const: 'x' }),
    newer: payload({ ...text, const: 'y' }),
    differences: [
      ['/properties/a/enum', 'enum-value-removed', 'major'],
      ['/properties/a/enum', 'enum-value-added', 'major'],
    ],
  },

  // Limits
  ...(
    [
      ['number', 'minimum', 1, 2],
      ['number', 'maximum', 2, 1],
      ['string', 'minLength', 1, 2],
      ['string', 'maxLength', 2, 1],
      ['array', 'minItems', 1, 2],
      ['array', 'maxItems', 2, 1],
    ] as const
  ).flatMap(([type, limit, loose, tight]) => [
    ofA(`a ${limit} is added`, { type }, { type, [limit]: loose }, limit, 'limit-tightened', 'major'),
    ofA(
      `a ${limit} is tightened`,
      { type, [limit]: loose },
      { type, [limit]: tight },
      limit,
      'limit-tightened',
      'major',
    ),
    ofA(`a ${limit} is relaxed`, { type, [limit]: tight }, { type, [limit]: loose }, limit, 'limit-relaxed', 'major'),
    ofA(`a ${limit} is removed`, { type, [limit]: loose }, { type }, limit, 'limit-relaxed', 'major'),
  ]),
  ofA('a format is added', text, { ...text, format: 'uuid' }, 'format', 'format-changed', 'major'),
  ofA('a format is removed', { ...text, format: 'uuid' }, text, 'format', 'format-changed', 'major'),

  // Open and closed
  ofA(
    'an object is opened',
    object(),
    object({ additionalProperties: true }),
    'additionalProperties',
    'object-opened',
    'major',
  ),
  ofA(
    'an object is closed',
    object({ additionalProperties: true }),
    object(),
    'additionalProperties',
    'object-closed',
    'major',
  ),
  ofA(
    'an open object becomes a map',
    object({ additionalProperties: true }),
    object({ additionalProperties: text }),
    'additionalProperties',
    'additional-properties-changed',
    'major',
  ),
  ofA(
    'a list of anything becomes one of texts',
    { type: 'array' },
    { type: 'array', items: text },
    'items',
    'items-restricted',
    'major',
  ),
  ofA(
    'a list of texts becomes one of anything',
    { type: 'array', items: text },
    { type: 'array' },
    'items',
    'items-unrestricted',
    'major',
  ),

  // Meaning
  ofA(
    'a unit is changed',
    { ...text, 'x-unit': 'ms' },
    { ...text, 'x-unit': 's' },
    'x-unit',
    'extension-changed',
    'major',
  ),
  ofA('an extension is added', text, { ...text, 'x-filterable': true }, 'x-filterable', 'extension-changed', 'major'),
]
