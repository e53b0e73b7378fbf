import { InvalidArgumentError } from 'commander'
import { z } from 'zod'
import { KIND_NAME, TENANT_NAME } from '../../../../shared/metadata/model/record.ts'
import type { Series } from '../../../../shared/metadata/model/repository.ts'

export const TARGET_HELP = 'source/schema/table; where a name has a / in it, \'["source","schema","table"]\''
export const TENANT_HELP = 'whose records, instead of METADATA_TENANT'
export const REASON_HELP = 'why; kept in the audit'

export function tenantValue(text: string): string {
  if (TENANT_NAME.test(text)) return text
  throw new InvalidArgumentError('expected up to 63 of a-z, 0-9 and -, a letter first')
}

export function kindValue(text: string): string {
  if (KIND_NAME.test(text)) return text
  throw new InvalidArgumentError('expected the name of a kind: up to 63 of a-z, 0-9 and _, a letter first')
}

const names = z.tuple([z.string().min(1), z.string().min(1), z.string().min(1)])

/** Tables have a / in them often (`TSLA/1d`): what follows the second one is the table. */
export function targetValue(text: string): Series['target'] {
  const [, sourceId = '', schema = '', table = ''] = /^([^/]+)\/([^/]+)\/(.+)$/s.exec(text) ?? []
  const parsed = names.safeParse(text.startsWith('[') ? jsonOf(text) : [sourceId, schema, table])
  if (!parsed.success) throw new InvalidArgumentError(`expected ${TARGET_HELP}`)
  return { sourceId: parsed.data[0], schema: parsed.data[1], table: parsed.data[2] }
}

/** As `targetValue` reads it back. */
export function targetText({ sourceId, schema, table }: Series['target']): string {
  const plain = !sourceId.startsWith('[') && !sourceId.includes('/') && !schema.includes('/')
  return plain ? `${sourceId}/${schema}/${table}` : JSON.stringify([sourceId, schema, table])
}

/** Gathers `name=value` of an option that may be given several times. */
export function extraValue(
  text: string,
  before: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  const [, name, value] = /^([^=]+)=(.*)$/s.exec(text) ?? []
  if (name === undefined || value === undefined) throw new InvalidArgumentError('expected name=value')
  return { ...before, [name]: value }
}

const WHOLE_MAX = 500

/** What one page may hold. */
export function pageLimitValue(text: string): number {
  const value = Number(text)
  if (/^\d{1,3}$/.test(text) && value >= 1 && value <= WHOLE_MAX) return value
  throw new InvalidArgumentError(`expected a whole number from 1 to ${WHOLE_MAX}`)
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
