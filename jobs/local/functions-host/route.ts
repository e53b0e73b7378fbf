import { ConfigError } from '../../../shared/errors.ts'

/** A route template, prefix included: `api/streams/{id:int}/{*rest}`. */
export type Route = { readonly template: string; readonly segments: readonly Segment[] }

type Segment =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'parameter'; readonly name: string; readonly constraint?: RegExp; readonly optional: boolean }
  | { readonly kind: 'rest'; readonly name: string }

const CONSTRAINTS: Readonly<Record<string, RegExp>> = {
  int: /^[+-]?\d{1,10}$/,
  long: /^[+-]?\d{1,19}$/,
  bool: /^(true|false)$/i,
  alpha: /^[a-z]*$/i,
  guid: /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i,
}

/** Throws `ConfigError` for what the real host may know and this one does not, such as `{id:range(1,9)}`. */
export function parseRoute(template: string): Route {
  const texts = template.split('/').filter(Boolean)
  const segments = texts.map((text, index): Segment => {
    if (!/[{}]/.test(text)) return { kind: 'literal', text: text.toLowerCase() }
    const match = /^\{(\*?)(\w+)(?::(\w+))?(\??)\}$/.exec(text)
    const [, star, name = '', constraintName, optional] = match ?? []
    const constraint = constraintName === undefined ? undefined : CONSTRAINTS[constraintName]
    const unknown = constraintName !== undefined && constraint === undefined
    const misplaced = (star || optional) && index !== texts.length - 1
    if (!match || unknown || misplaced) {
      const known = Object.keys(CONSTRAINTS).join(', ')
      throw new ConfigError([`route ${template}: expected {name}, {name?}, {*rest} or one of ${known}, got ${text}`])
    }
    if (star) return { kind: 'rest', name }
    return { kind: 'parameter', name, optional: optional === '?', ...(constraint ? { constraint } : {}) }
  })
  return { template, segments }
}

/** Parameters by name, or undefined where the path is not of this route. Literals match in any case. */
export function matchRoute(route: Route, path: string): Record<string, string> | undefined {
  const parts = path.split('/').filter(Boolean)
  const params: Record<string, string> = {}
  for (const [index, segment] of route.segments.entries()) {
    const part = parts[index]
    if (segment.kind === 'rest') {
      params[segment.name] = parts.slice(index).map(decodePart).join('/')
      return params
    }
    if (part === undefined) {
      if (segment.kind === 'parameter' && segment.optional) return params
      return undefined
    }
    const value = decodePart(part)
    if (segment.kind === 'literal') {
      if (value.toLowerCase() !== segment.text) return undefined
    } else {
      if (segment.constraint && !segment.constraint.test(value)) return undefined
      params[segment.name] = value
    }
  }
  return parts.length <= route.segments.length ? params : undefined
}

/** Of two routes that match one path the one with the more definite first difference wins, as in ASP.NET. */
export function compareRoutes(a: Route, b: Route): number {
  for (let index = 0; index < Math.max(a.segments.length, b.segments.length); index++) {
    const difference = rank(a.segments[index]) - rank(b.segments[index])
    if (difference !== 0) return difference
  }
  return 0
}

function rank(segment: Segment | undefined): number {
  if (segment === undefined) return 0
  if (segment.kind === 'literal') return 1
  if (segment.kind === 'rest') return 4
  return segment.constraint ? 2 : 3
}

// The web server of the real host leaves an encoded slash as it is: a parameter never holds more than one segment.
function decodePart(part: string): string {
  return decodeURIComponent(part.replaceAll(/%2f/gi, (slash) => `%25${slash.slice(1)}`))
}
