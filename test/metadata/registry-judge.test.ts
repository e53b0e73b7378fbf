import { describe, expect, test } from 'vitest'
import { kindBehaviour } from '../../shared/metadata/registry/behaviour.ts'
import { type JudgedVersion, judgeVersion, type PublishedVersion } from '../../shared/metadata/registry/judge.ts'
import { parseVersion } from '../../shared/metadata/registry/version-number.ts'
import { schemaOf } from './registry-arbitrary.ts'

type Properties = Readonly<Record<string, object>>

const text = { type: 'string' }
const number = { type: 'number' }

/** `version` with optional properties, and what the platform does with it. */
function version(name: string, properties: Properties, behaviour: object = {}): JudgedVersion {
  const number = parseVersion(name)
  if (number === null) throw new Error(`version: expected major.minor, got ${name}`)
  return { ...number, schema: schemaOf({ type: 'object', properties }), behaviour: kindBehaviour.parse(behaviour) }
}

/** Published in this order. */
const published = (...versions: readonly JudgedVersion[]): PublishedVersion[] =>
  versions.map((one, index) => ({ ...one, publishedAt: BigInt(index) }))

const judged = (earlier: readonly PublishedVersion[], candidate: JudgedVersion) => {
  const { refusal, differences } = judgeVersion(earlier, candidate)
  return {
    accepted: refusal === null,
    differences: differences.map(({ pointer, change, against }) => `${change} ${pointer} ${against}`),
  }
}

describe('a version of a kind', () => {
  const first = version('1.0', { a: text })

  test.each<[string, string, readonly string[]]>([
    ['the first one is 1.0', '1.0', []],
    ['the first one is not 1.1', '1.1', ['refused']],
    ['the first one is not 2.0', '2.0', ['refused']],
  ])('has the next number: %s', (_name, number, expected) => {
    const { accepted } = judged([], version(number, { a: text }))
    expect(accepted ? [] : ['refused']).toEqual(expected)
  })

  test.each(['1.2', '2.1', '3.0', '1.0', '2.0', '1.3', '4.0'])(
    'has the next number of its major version, or begins the next one: %s',
    (number) => {
      const earlier = published(first, version('1.1', { a: text }), version('2.0', { a: text }))
      expect(judged(earlier, version(number, { a: text })).accepted).toBe(['1.2', '2.1', '3.0'].includes(number))
    },
  )

  test('tells which number it should have', () => {
    expect(judgeVersion(published(first), version('1.5', { a: text })).refusal).toBe(
      'expected version 1.1 or 2.0, got 1.5',
    )
  })

  test('may add optional properties as a minor one, and remove them as a major one', () => {
    const more = { a: text, b: number }
    expect(judged(published(first), version('1.1', more))).toEqual({
      accepted: true,
      differences: ['optional-property-added /schema/properties/b 1.0'],
    })
    const earlier = published(first, version('1.1', more))
    expect(judged(earlier, version('1.2', { a: text }))).toEqual({
      accepted: false,
      differences: ['property-removed /schema/properties/b 1.1'],
    })
    expect(judged(earlier, version('2.0', { a: text }))).toEqual({
      accepted: true,
      differences: ['property-removed /schema/properties/b 1.1'],
    })
  })

  test('is compared with all of its major version, and not only with the one before', () => {
    const open = { ...text, enum: ['x', 'y'], 'x-open-enum': true }
    const earlier = published(version('1.0', { a: open }), version('1.1', { a: { ...open, enum: ['x', 'y', 'z'] } }))
    expect(judged(earlier, version('1.2', { a: { ...open, enum: ['x', 'z'] } })).differences).toEqual([
      'enum-value-removed /schema/properties/a/enum 1.0',
      'enum-value-removed /schema/properties/a/enum 1.1',
    ])
  })

  describe('does not use a name', () => {
    test('for another type than any version has it for, also one of a later major version', () => {
      const earlier = published(first, version('2.0', { a: text, b: number }), version('3.0', { a: text, b: number }))
      for (const number of ['1.1', '2.1', '4.0']) {
        expect(judged(earlier, version(number, { a: text, b: text })).accepted).toBe(false)
      }
      expect(judged(earlier, version('1.1', { a: text, b: number })).accepted).toBe(true)
    })

    test('again, once a major version left it out', () => {
      const earlier = published(version('1.0', { a: text, b: text }), version('2.0', { a: text }))
      for (const number of ['2.1', '3.0']) {
        expect(judged(earlier, version(number, { a: text, b: text }))).toEqual({
          accepted: false,
          differences: ['reserved-name /schema/properties/b 1.0', 'optional-property-added /schema/properties/b 2.0'],
        })
      }
      const still = [...earlier, ...published(first, first, version('3.0', { a: text })).slice(2)]
      expect(judged(still, version('4.0', { a: text, b: text })).accepted).toBe(false)
    })

    test('again deep down', () => {
      const list = (properties: Properties) => ({ a: { type: 'array', items: { type: 'object', properties } } })
      const earlier = published(version('1.0', list({ b: text, c: text })), version('2.0', list({ b: text })))
      expect(judged(earlier, version('2.1', list({ b: text, c: text }))).differences).toContain(
        'reserved-name /schema/properties/a/items/properties/c 1.0',
      )
    })

    test('again in a map', () => {
      const map = (properties: Properties) => ({
        a: { type: 'object', additionalProperties: { type: 'object', properties } },
      })
      const earlier = published(version('1.0', map({ b: text, c: text })), version('2.0', map({ b: text })))
      expect(judged(earlier, version('2.1', map({ b: text, c: text }))).differences).toContain(
        'reserved-name /schema/properties/a/additionalProperties/properties/c 1.0',
      )
    })

    test('but may use one that only later major versions had and left out', () => {
      const earlier = published(first, version('2.0', { a: text, b: text }), version('3.0', { a: text }))
      expect(judged(earlier, version('1.1', { a: text, b: text })).accepted).toBe(true)
      expect(judged(earlier, version('3.1', { a: text, b: text })).accepted).toBe(false)
    })

    test('but goes on with one in the major version that has it', () => {
      const earlier = published(version('1.0', { a: text, b: text }), version('2.0', { a: text }))
      expect(judged(earlier, version('1.1', { a: text, b: text, c: text })).accepted).toBe(true)
    })

    test('but may add to two major versions what neither had', () => {
      const earlier = published(first, version('2.0', { a: text }), version('1.1', { a: text, b: text }))
      expect(judged(earlier, version('2.1', { a: text, b: text })).accepted).toBe(true)
      const others = [...earlier, { ...version('2.1', { a: text, c: text }), publishedAt: 3n }]
      expect(judged(others, version('2.2', { a: text, c: text, b: text })).accepted).toBe(true)
    })
  })

  describe('grows in what the platform does with it', () => {
    const base = { outcomes: ['pass', 'fail'], hotDays: 30, rollups: ['a'], facets: ['lane'] }
    const earlier = published(version('1.0', { a: number, b: number }, base))
    test.each<[string, object, 'minor' | 'major' | 'never', readonly string[]]>([
      ['nothing changes', base, 'minor', []],
      ['another number rolls up', { ...base, rollups: ['a', 'b'] }, 'minor', ['rollup-added /behaviour/rollups 1.0']],
      ['kept longer', { ...base, hotDays: 31 }, 'minor', ['kept-longer /behaviour/hotDays 1.0']],
      ['kept for ever', { ...base, hotDays: null }, 'minor', ['kept-longer /behaviour/hotDays 1.0']],
      ['kept shorter', { ...base, hotDays: 29 }, 'never', ['kept-shorter /behaviour/hotDays 1.0']],
      ['a number does not roll up', { ...base, rollups: [] }, 'major', ['rollup-removed /behaviour/rollups 1.0']],
      [
        'another outcome',
        { ...base, outcomes: ['pass', 'fail', 'late'] },
        'major',
        ['outcome-added /behaviour/outcomes 1.0'],
      ],
      ['an outcome less', { ...base, outcomes: ['pass'] }, 'never', ['outcome-removed /behaviour/outcomes 1.0']],
      ['no outcomes', { ...base, outcomes: null }, 'never', ['outcomes-removed /behaviour/outcomes 1.0']],
      [
        'another facet, which old writers may say anything of',
        { ...base, facets: ['lane', 'b'] },
        'major',
        ['facet-added /behaviour/facets 1.0'],
      ],
      ['a facet less', { ...base, facets: [] }, 'never', ['facet-removed /behaviour/facets 1.0']],
    ])('%s', (_name, behaviour, verdict, differences) => {
      const properties = { a: number, b: number }
      expect(judged(earlier, version('1.1', properties, behaviour))).toEqual({
        accepted: verdict === 'minor',
        differences,
      })
      expect(judged(earlier, version('2.0', properties, behaviour)).accepted).toBe(verdict !== 'never')
    })

    test('outcomes are added by a major version', () => {
      const without = published(version('1.0', { a: number }))
      const candidate = (name: string) => version(name, { a: number }, { outcomes: ['pass'] })
      expect(judged(without, candidate('1.1'))).toEqual({
        accepted: false,
        differences: ['outcomes-added /behaviour/outcomes 1.0'],
      })
      expect(judged(without, candidate('2.0')).accepted).toBe(true)
    })

    test('what a later major version does, an earlier one need not', () => {
      const later = [
        ...earlier,
        {
          ...version('2.0', { a: number, b: number }, { ...base, facets: ['lane', 'b'], hotDays: null }),
          publishedAt: 1n,
        },
      ]
      expect(judged(later, version('1.1', { a: number, b: number }, base)).accepted).toBe(true)
    })
  })
})
