import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import { z } from 'zod'

const operation = z.looseObject({
  operationId: z.string(),
  responses: z.record(
    z.string(),
    z.looseObject({
      'x-problems': z.array(z.string()).optional(),
      content: z.record(z.string(), z.looseObject({})).optional(),
    }),
  ),
})
const openApi = z.looseObject({ paths: z.record(z.string(), z.record(z.string(), operation)) })

export type SeenAnswer = {
  readonly method: string
  /** Of the route, with its parameters in braces. */
  readonly path: string
  readonly status: number
  readonly contentType: string | null
  readonly body: unknown
}

/** Throws where an answer is not what the document says, down to properties that it does not name. */
export function documentChecker(document: unknown): (answer: SeenAnswer) => void {
  const { paths } = openApi.parse(document)
  const ajv = new Ajv2020({ strict: false, allErrors: true })
  formats.default(ajv)
  ajv.addSchema(closed(document), 'openapi')
  const validators = new Map<string, ValidateFunction>()
  return ({ method, path, status, contentType, body }) => {
    const what = `${method} ${path} ${status}`
    const response = paths[path]?.[method.toLowerCase()]?.responses[String(status)]
    if (response === undefined) throw new Error(`${what}: expected it to be documented: ${JSON.stringify(body)}`)
    const [type] = Object.keys(response.content ?? {})
    if (type !== (contentType ?? undefined)) throw new Error(`${what}: expected ${type}, got ${contentType}`)
    if (type === undefined) return
    const place = ['paths', path, method.toLowerCase(), 'responses', String(status), 'content', type, 'schema']
    const reference = `openapi#/${place.map(pointerPart).join('/')}`
    const validate = validators.get(reference) ?? ajv.compile({ $ref: reference })
    validators.set(reference, validate)
    if (!validate(body)) throw new Error(`${what}: ${ajv.errorsText(validate.errors)} in ${JSON.stringify(body)}`)
    const code = z.looseObject({ type: z.string() }).safeParse(body).data?.type.split('/').at(-1)
    const problems = response['x-problems']
    if (problems !== undefined && !problems.includes(code ?? '')) {
      throw new Error(`${what}: expected one of ${problems.join(', ')}, got ${code}`)
    }
  }
}

function pointerPart(part: string): string {
  return encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'))
}

/** Readers take every object for open; here nothing may come that is not documented. */
function closed(value: unknown): object {
  return JSON.parse(JSON.stringify(value), (_key, item: unknown) => {
    const isClosable =
      typeof item === 'object' && item !== null && 'type' in item && item.type === 'object' && 'properties' in item
    return isClosable && !('additionalProperties' in item) ? { ...item, additionalProperties: false } : item
  })
}
