import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compareSchemas, VERDICTS } from '../../shared/metadata/registry/compare.ts'
import { schemaErrors } from '../../shared/metadata/registry/interpret.ts'
import { anyNode, anySchema, choices, edited, payloadFor, schemaOf } from './registry-arbitrary.ts'
import { SCHEMA_CHANGES } from './registry-changes.ts'

const listed = (older: unknown, newer: unknown) =>
  compareSchemas(schemaOf(older), schemaOf(newer)).map(({ pointer, change, verdict }) => [pointer, change, verdict])

describe('what is different between two schemas', () => {
  test.each(SCHEMA_CHANGES.map((one) => [one.name, one] as const))('%s', (_name, { older, newer, differences }) => {
    expect(listed(older, newer)).toEqual(differences)
  })

  test('every change of a schema has a case', () => {
    const covered = new Set(SCHEMA_CHANGES.flatMap(({ differences }) => differences.map(([, change]) => change)))
    // Of the behaviour, and of names that were used before: see judge.
    const others = /^(outcome|rollup|facet|kept|reserved)/
    const ofSchemas = Object.keys(VERDICTS).filter((change) => !others.test(change))
    expect([...covered].sort()).toEqual(ofSchemas.sort())
  })

  test('nothing, where they are the same', () => {
    fc.assert(
      fc.property(anySchema, (schema) => {
        expect(listed(schema, structuredClone(schema))).toEqual([])
      }),
    )
  })

  test('an optional property that is added to a closed object is minor, whatever it is', () => {
    fc.assert(
      fc.property(anySchema, anyNode, (schema, added) => {
        const older = { ...schema, additionalProperties: false }
        const newer = { ...older, properties: { ...(schema.properties as object), added } }
        expect(listed(older, newer)).toEqual([['/properties/added', 'optional-property-added', 'minor']])
      }),
    )
  })

  test('what is minor refuses no payload that was valid', () => {
    let kept = 0
    let refused = 0
    fc.assert(
      fc.property(anySchema, choices, (older, choose) => {
        const newer = edited(older, choose)
        const [before, after] = [schemaOf(older), schemaOf(newer)]
        const differences = compareSchemas(before, after)
        if (differences.length === 0) return
        const isMinor = differences.every(({ verdict }) => verdict === 'minor')
        for (let round = 0; round < 10; round++) {
          const payload = payloadFor(choose(2) === 0 ? older : newer, choose)
          if (schemaErrors(payload, before).length > 0) continue
          const errors = schemaErrors(payload, after)
          if (errors.length === 0) kept++
          else refused++
          if (isMinor) expect(errors).toEqual([])
        }
      }),
      { numRuns: 2_000 },
    )
    // Edits that are no minor ones do refuse something: the test would see it.
    expect([kept > 20, refused > 20]).toEqual([true, true])
  })
})
