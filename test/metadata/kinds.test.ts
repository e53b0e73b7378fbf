import { readdir, readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { FACETS_MAX } from '../../shared/metadata/model/kind.ts'
import { schemaFingerprint } from '../../shared/metadata/model/kinds/schema-snapshot.ts'
import { KINDS, payloadSchema } from '../../shared/metadata/model/kinds.ts'
import { counted } from './fact.ts'

const FOLDER = new URL('./payload-schemas/', import.meta.url)

describe('kinds of metadata records', () => {
  test.each([...KINDS.values()].map((kind) => [`${kind.kind}-${kind.versions.at(-1)}`, kind] as const))(
    '%s has the JSON Schema that is written down: another one is another version',
    async (name, kind) => {
      const written: unknown = JSON.parse(await readFile(new URL(`${name}.json`, FOLDER), 'utf8'))
      expect(payloadSchema(kind)).toEqual(written)
    },
  )

  test('every JSON Schema that is written down is of a kind', async () => {
    const names = [...KINDS.values()].flatMap(({ kind, versions }) =>
      versions.map((version) => `${kind}-${version}.json`),
    )
    expect((await readdir(FOLDER)).sort()).toEqual(names.sort())
  })

  test.each([...KINDS.values()].map((kind) => [kind.kind, kind] as const))(
    '%s rolls up numbers that its payload has, and has at most four extras to filter by',
    (_name, kind) => {
      expect(Object.keys(payloadSchema(kind).properties ?? {})).toEqual(expect.arrayContaining([...kind.rollups]))
      expect(kind.facets.length).toBeLessThanOrEqual(FACETS_MAX)
    },
  )

  test.each([...KINDS.values()].map((kind) => [kind.kind, kind] as const))(
    '%s is closed for writers',
    (_name, kind) => {
      const { error } = kind.payload.safeParse({ surprise: 1 })
      expect(error?.issues).toContainEqual(expect.objectContaining({ code: 'unrecognized_keys', keys: ['surprise'] }))
    },
  )

  test('ingestion_volume: every record of raw is counted once', () => {
    const { payload } = KINDS.get('ingestion_volume') ?? {}
    expect(payload?.safeParse(counted(3)).success).toBe(true)
    expect(payload?.safeParse({ ...counted(3), outside: 1 }).error?.issues).toMatchObject([{ path: ['records'] }])
  })

  test('schema_snapshot: the fingerprint is that of the columns, whatever the order of their properties', () => {
    const { payload } = KINDS.get('schema_snapshot') ?? {}
    const columns = [{ name: 'a', type: 'text', nullable: true }]
    const fingerprint = schemaFingerprint(columns)
    const reordered = [{ nullable: true, type: 'text', name: 'a' }]
    expect(payload?.safeParse({ place: 'csv', columns: reordered, fingerprint }).success).toBe(true)
    const renamed = [{ ...columns[0], name: 'b' }]
    expect(payload?.safeParse({ place: 'csv', columns: renamed, fingerprint }).error?.issues).toMatchObject([
      { path: ['fingerprint'], message: 'expected the SHA-256 of the columns' },
    ])
  })
})
