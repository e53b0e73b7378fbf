import { readFileSync } from 'node:fs'
import { FUNCTIONS, isUnknown, list, record, text, type Value } from './functions.ts'
import { type Declaration, type Expression, parseBicep } from './parse.ts'

export type Resource = {
  /** Of the module it stands in, from infra/ on. */
  readonly file: string
  readonly symbol: string
  readonly type: string
  readonly apiVersion: string
  /** With its parents': `account/default/raw`. */
  readonly name: string
  /** Path of the resource it is about, of role assignments above all; empty: its resource group. */
  readonly scope: string
  readonly body: Readonly<Record<string, Value>>
}

export type Template = { readonly resources: readonly Resource[]; readonly outputs: Readonly<Record<string, Value>> }

/** The value of a deployed resource: what it was given, its path, and unknown whatever Azure makes of it. */
type Deployed = { readonly deployed: Resource }

type Lazy = () => Value | Deployed | Template | readonly Deployed[]
type Scope = ReadonlyMap<string, Lazy>

/** One file that is being evaluated. */
type Context = {
  readonly file: URL
  readonly root: URL
  /** From infra/ on. */
  readonly name: string
  readonly params: Readonly<Record<string, Value>>
  readonly scope: Map<string, Lazy>
  readonly found: Resource[]
}

/**
 * What a Bicep file deploys with these parameters: resources of it and of its modules, conditions and loops decided.
 * Throws where a name, a function, a parameter or a property is not there, or a declaration is used by nothing.
 */
export function evaluateBicep(
  file: URL,
  params: Readonly<Record<string, Value>>,
  root: URL = new URL('.', file),
): Template {
  const context: Context = { file, root, name: file.href.slice(root.href.length), params, scope: new Map(), found: [] }
  const { name, scope, found } = context
  const declarations = parseBicep(readFileSync(file, 'utf8'))
  checkUse(name, declarations)
  checkParams(name, declarations, params)
  const outputs = declarations.filter((declaration) => declaration.kind === 'output')
  for (const declaration of declarations) {
    if (declaration.kind === 'output') continue
    if (scope.has(declaration.name)) throw new Error(`${name}: ${declaration.name} is declared twice`)
    scope.set(
      declaration.name,
      once(() => placed(context, declaration.name, () => declare(context, declaration))),
    )
  }
  for (const lazy of scope.values()) lazy()
  const outputOf = (output: (typeof outputs)[number]) =>
    placed(context, output.name, () => evaluate(context, output.value))
  return { resources: found, outputs: Object.fromEntries(outputs.map((output) => [output.name, outputOf(output)])) }
}

function placed<T>({ name }: Context, symbol: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw new Error(`${name} ${symbol}: ${(error as Error).message}`, { cause: error })
  }
}

function declare(context: Context, declaration: Declaration): ReturnType<Lazy> {
  switch (declaration.kind) {
    case 'param':
      return (
        context.params[declaration.name] ?? (declaration.value === null ? null : evaluate(context, declaration.value))
      )
    case 'var':
    case 'output':
      return evaluate(context, declaration.value)
    case 'resource':
      return deploy(context, declaration, declaration.value, context.scope)
    case 'module':
      return deployModule(context, declaration)
  }
}

function evaluate(context: Context, expression: Expression, scope: Scope = context.scope): Value {
  return plain(evaluateIn(expression, scope, new URL('.', context.file)))
}

type ResourceDeclaration = Declaration & { readonly kind: 'resource' }

function deploy(
  context: Context,
  declaration: ResourceDeclaration,
  value: Expression,
  scope: Scope,
): Deployed | null | readonly Deployed[] {
  if (value.kind === 'when') {
    return evaluate(context, value.test, scope) === true ? deploy(context, declaration, value.body, scope) : null
  }
  if (value.kind === 'for') {
    return list(evaluate(context, value.list, scope)).flatMap(
      (item, index) => deploy(context, declaration, value.body, bind(scope, value, item, index)) ?? [],
    )
  }
  const raw = evaluateIn(value, scope, new URL('.', context.file)) as Readonly<Record<string, unknown>>
  const { parent, scope: about, dependsOn: _, ...rest } = raw
  const [type = '', apiVersion = ''] = declaration.type.split('@')
  const parentName = parent === undefined ? '' : `${(parent as Deployed).deployed.name}/`
  const body = plain(rest) as Readonly<Record<string, Value>>
  const resource: Resource = {
    file: context.name,
    symbol: declaration.name,
    type,
    apiVersion,
    name: `${parentName}${text(body.name)}`,
    scope: about === undefined ? '' : pathOf((about as Deployed).deployed),
    body,
  }
  if (!declaration.existing) context.found.push(resource)
  return { deployed: resource }
}

function deployModule(context: Context, declaration: Declaration & { readonly kind: 'module' }): Template | null {
  const { value } = declaration
  if (value.kind === 'when' && evaluate(context, value.test) !== true) return null
  const folder = new URL('.', context.file)
  const body = evaluateIn(value.kind === 'when' ? value.body : value, context.scope, folder)
  const { params } = body as Readonly<Record<string, unknown>>
  const template = evaluateBicep(new URL(declaration.path, context.file), record(plain(params)), context.root)
  context.found.push(...template.resources)
  return template
}

/** Resources and modules within a value become what they are called. */
function plain(value: unknown): Value {
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null || isUnknown(value as Value)) return value as Value
  if ('deployed' in value) return pathOf((value as Deployed).deployed)
  if ('resources' in value && 'outputs' in value) return null
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]))
}

const pathOf = ({ type, name }: Resource) => `/${type}/${name}`

function bind(scope: Scope, loop: Expression & { kind: 'for' }, item: Value, index: number): Scope {
  const bound = new Map<string, Lazy>([...scope, [loop.item, () => item]])
  if (loop.index !== null) bound.set(loop.index, () => index)
  return bound
}

function evaluateIn(expression: Expression, scope: Scope, folder: URL): unknown {
  const go = (inner: Expression): unknown => evaluateIn(inner, scope, folder)
  switch (expression.kind) {
    case 'literal':
      return expression.value
    case 'text':
      return expression.parts.map((part) => (typeof part === 'string' ? part : text(plain(go(part))))).join('')
    case 'name': {
      const lazy = scope.get(expression.name)
      if (lazy === undefined)
        throw new Error(`line ${expression.line}: expected a declared name, got ${expression.name}`)
      return lazy()
    }
    case 'member':
      return memberOf(go(expression.of), plain(go(expression.key)), expression)
    case 'call': {
      const called = Object.hasOwn(FUNCTIONS, expression.name) ? FUNCTIONS[expression.name] : undefined
      if (called === undefined)
        throw new Error(`line ${expression.line}: expected a known function, got ${expression.name}`)
      return called(
        expression.args.map((arg) => plain(go(arg))),
        folder,
      )
    }
    case 'object':
      return Object.fromEntries(expression.entries.map(([key, value]) => [text(plain(go(key))), go(value)]))
    case 'array':
      return expression.items.map(go)
    case 'for':
      return list(plain(go(expression.list))).map((item, index) =>
        evaluateIn(expression.body, bind(scope, expression, item, index), folder),
      )
    case 'choice':
      return go(expression.test) === true ? go(expression.yes) : go(expression.no)
    case 'binary':
      return binary(expression.operator, plain(go(expression.left)), () => plain(go(expression.right)))
    case 'not':
      return go(expression.of) !== true
    case 'lambda':
      return (value: Value) =>
        plain(evaluateIn(expression.body, new Map([...scope, [expression.parameter, () => value]]), folder))
    case 'when':
      throw new Error('expected a value, got a condition')
  }
}

function memberOf(of: unknown, key: Value, { safe, line }: { readonly safe: boolean; readonly line: number }): unknown {
  if (of === null && safe) return null
  if (typeof of === 'object' && of !== null) {
    if (isUnknown(of as Value)) return { unknown: `${(of as { unknown: string }).unknown}.${text(key)}` }
    if ('deployed' in of) {
      const { deployed } = of as Deployed
      if (key === 'id') return pathOf(deployed)
      if (key === 'name') return deployed.name.split('/').at(-1)
      return { unknown: `${deployed.symbol}.${text(key)}` }
    }
    if (Object.hasOwn(of, text(key))) return (of as Readonly<Record<string, unknown>>)[text(key)]
  }
  if (safe) return null
  throw new Error(`line ${line}: expected a property that is there, got ${text(key)}`)
}

function binary(operator: string, left: Value, right: () => Value): Value {
  switch (operator) {
    case '??':
      return left ?? right()
    case '&&':
      return left === true && right() === true
    case '||':
      return left === true || right() === true
    case '==':
      return left === right()
    case '!=':
      return left !== right()
    case '>':
      return Number(left) > Number(right())
    case '*':
      return Number(left) * Number(right())
    case '/':
      return Math.trunc(Number(left) / Number(right()))
    default:
      throw new Error(`expected a known operator, got ${operator}`)
  }
}

function once<T>(work: () => T): () => T {
  let done: { readonly value: T } | undefined
  return () => {
    done ??= { value: work() }
    return done.value
  }
}

function checkParams(file: string, declarations: readonly Declaration[], given: Readonly<Record<string, Value>>): void {
  const params = declarations.filter((declaration) => declaration.kind === 'param')
  for (const name of Object.keys(given)) {
    if (!params.some((param) => param.name === name)) throw new Error(`${file}: expected no parameter ${name}`)
  }
  for (const { name, value, decorators } of params) {
    if (value === null && given[name] === undefined)
      throw new Error(`${file}: expected the parameter ${name}, got none`)
    const allowed = decorators.find((decorator) => decorator.name === 'allowed')?.args[0]
    const chosen = given[name]
    if (
      allowed?.kind === 'array' &&
      chosen !== undefined &&
      !allowed.items.some((item) => evaluateIn(item, new Map(), new URL('file:///')) === chosen)
    ) {
      throw new Error(`${file}: expected one of the allowed values of ${name}, got ${text(chosen)}`)
    }
  }
}

/** What is declared and named nowhere else was forgotten. */
function checkUse(file: string, declarations: readonly Declaration[]): void {
  const source = JSON.stringify(declarations)
  for (const { kind, name } of declarations) {
    if ((kind === 'param' || kind === 'var') && !source.includes(`{"kind":"name","name":"${name}"`)) {
      throw new Error(`${file}: expected the ${kind} ${name} to be used somewhere`)
    }
  }
}
