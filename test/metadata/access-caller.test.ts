import { describe, expect, test } from 'vitest'
import {
  BUILT_IN_PRODUCERS,
  grantableBy,
  may,
  mayProduce,
  mayWrite,
  parsePermission,
} from '../../shared/metadata/access/caller.ts'

const caller = (permissions: readonly string[], producers: readonly string[] = []) => ({ permissions, producers })

describe('permissions', () => {
  test.each(['records:read', 'feed:read', 'kinds:write', 'guards:check', 'guards:override', 'tokens:admin'])(
    '%s is one',
    (text) => expect(parsePermission(text)).toBe(text),
  )

  test.each(['records:write:*', 'records:write:ingestion_volume', 'records:write:k'])('%s is one', (text) =>
    expect(parsePermission(text)).toBe(text),
  )

  test.each([
    '',
    'records:write',
    'records:write:',
    'records:write:Volume',
    'records:write:a-b',
    'records:write:a*',
    'records:read:*',
    'RECORDS:READ',
    ' records:read',
    '*',
    'tokens:*',
    '__proto__',
    'toString',
  ])('"%s" is none', (text) => expect(parsePermission(text)).toBeUndefined())

  test('to write is of one kind, or of every kind', () => {
    expect(mayWrite(caller(['records:write:recon_result']), 'recon_result')).toBe(true)
    expect(mayWrite(caller(['records:write:recon_result']), 'recon_result2')).toBe(false)
    expect(mayWrite(caller(['records:write:*']), 'recon_result')).toBe(true)
    expect(mayWrite(caller(['records:read', 'tokens:admin']), 'recon_result')).toBe(false)
  })

  test('to write every kind gives nothing but that', () => {
    expect(may(caller(['records:write:*']), 'records:read')).toBe(false)
    expect(may(caller(['records:write:*']), 'tokens:admin')).toBe(false)
  })
})

describe('producers', () => {
  test('are written as by who lists them, and by nobody who lists none', () => {
    expect(mayProduce(caller([], ['team.v1']), 'team.v1')).toBe(true)
    expect(mayProduce(caller([], ['team.v1']), 'team.v2')).toBe(false)
    expect(mayProduce(caller(['records:write:*']), 'team.v1')).toBe(false)
  })

  test.each(BUILT_IN_PRODUCERS)('%s has to be listed by name', (producerId) => {
    expect(mayProduce(caller([], ['*']), producerId)).toBe(false)
    expect(mayProduce(caller([], ['*']), 'team.v1')).toBe(true)
    expect(mayProduce(caller([], [producerId]), producerId)).toBe(true)
  })
})

describe('what is granted', () => {
  const admin = caller(['tokens:admin', 'records:write:recon_result', 'records:read'], ['team.v1'])

  test('is at most what the caller has', () => {
    expect(grantableBy(admin, ['records:read', 'records:write:recon_result'], ['team.v1'])).toEqual([])
  })

  test('is named where the caller lacks it', () => {
    expect(grantableBy(admin, ['feed:read', 'records:write:*', 'records:read'], ['team.v1', '*', 'recon.v1'])).toEqual([
      'feed:read',
      'records:write:*',
      'producer *',
      'producer recon.v1',
    ])
  })

  test('may be one kind of every kind, and one producer of all that are not built in', () => {
    const all = caller(['records:write:*'], ['*'])
    expect(grantableBy(all, ['records:write:schedule', 'records:write:*'], ['team.v1', '*'])).toEqual([])
    expect(grantableBy(all, [], ['import.v1'])).toEqual(['producer import.v1'])
  })

  test('is no permission that nobody has', () => {
    expect(grantableBy(caller(['root']), ['root'], [])).toEqual(['root'])
  })
})
