import { type Token, tokenize } from './tokens.ts'

export type Expression =
  | { readonly kind: 'literal'; readonly value: string | number | boolean | null }
  | { readonly kind: 'text'; readonly parts: readonly (string | Expression)[] }
  | { readonly kind: 'name'; readonly name: string; readonly line: number }
  | {
      readonly kind: 'member'
      readonly of: Expression
      readonly key: Expression
      readonly safe: boolean
      readonly line: number
    }
  | { readonly kind: 'call'; readonly name: string; readonly args: readonly Expression[]; readonly line: number }
  | { readonly kind: 'object'; readonly entries: readonly (readonly [Expression, Expression])[] }
  | { readonly kind: 'array'; readonly items: readonly Expression[] }
  | { readonly kind: 'choice'; readonly test: Expression; readonly yes: Expression; readonly no: Expression }
  | { readonly kind: 'binary'; readonly operator: string; readonly left: Expression; readonly right: Expression }
  | { readonly kind: 'not'; readonly of: Expression }
  | { readonly kind: 'lambda'; readonly parameter: string; readonly body: Expression }
  | {
      readonly kind: 'for'
      readonly item: string
      readonly index: string | null
      readonly list: Expression
      readonly body: Expression
    }
  | { readonly kind: 'when'; readonly test: Expression; readonly body: Expression }

export type Declaration =
  | {
      readonly kind: 'param'
      readonly name: string
      readonly type: string
      readonly value: Expression | null
      readonly decorators: readonly Decorator[]
    }
  | { readonly kind: 'var'; readonly name: string; readonly value: Expression }
  | { readonly kind: 'output'; readonly name: string; readonly value: Expression }
  | {
      readonly kind: 'resource'
      readonly name: string
      readonly type: string
      readonly existing: boolean
      readonly value: Expression
    }
  | { readonly kind: 'module'; readonly name: string; readonly path: string; readonly value: Expression }

export type Decorator = { readonly name: string; readonly args: readonly Expression[] }

/** Of the same precedence each, the loosest first. */
const OPERATORS = [['??'], ['||'], ['&&'], ['==', '!='], ['<', '>', '<=', '>='], ['+', '-'], ['*', '/', '%']] as const

/** Reads the part of Bicep that infra/ uses, and throws at everything else: what it does not know is not silently right. */
export function parseBicep(source: string): readonly Declaration[] {
  return createParser(tokenize(source)).file()
}

function createParser(tokens: readonly Token[]) {
  let at = 0
  const peek = (ahead = 0): Token =>
    tokens[Math.min(at + ahead, tokens.length - 1)] ?? { kind: 'end', text: '', line: 0 }
  const is = (text: string) => peek().kind !== 'string' && peek().text === text
  const take = (): Token => {
    const token = peek()
    at += 1
    return token
  }
  const accept = (text: string): boolean => {
    if (!is(text)) return false
    at += 1
    return true
  }
  const fail = (expected: string): never => {
    throw new Error(`line ${peek().line}: expected ${expected}, got ${JSON.stringify(peek().text)}`)
  }
  const expect = (text: string) => void (accept(text) || fail(JSON.stringify(text)))
  const word = (): string => (peek().kind === 'word' ? take().text : fail('a name'))
  const blank = () => {
    while (peek().kind === 'newline' || is(',')) at += 1
  }
  const plainText = (): string => {
    const token = take()
    const [part] = token.kind === 'string' ? token.parts : []
    return part !== undefined && 'text' in part ? part.text : fail('a string')
  }

  function file(): Declaration[] {
    const declarations: Declaration[] = []
    for (;;) {
      blank()
      if (peek().kind === 'end') return declarations
      const decorators: Decorator[] = []
      while (accept('@')) {
        decorators.push({ name: word(), args: args() })
        blank()
      }
      const kind = word()
      if (kind === 'targetScope') {
        expect('=')
        expression()
      } else {
        declarations.push(declaration(kind, decorators))
      }
      if (peek().kind !== 'newline' && peek().kind !== 'end') fail('the end of the line')
    }
  }

  function declaration(kind: string, decorators: readonly Decorator[]): Declaration {
    const name = word()
    if (kind === 'param') {
      return { kind, name, type: word(), value: accept('=') ? expression() : null, decorators }
    }
    if (kind === 'var' || kind === 'output') {
      if (kind === 'output') word()
      expect('=')
      return { kind, name, value: expression() }
    }
    if (kind === 'resource') {
      const type = plainText()
      const existing = accept('existing')
      expect('=')
      return { kind, name, type, existing, value: conditional() }
    }
    if (kind === 'module') {
      const path = plainText()
      expect('=')
      return { kind, name, path, value: conditional() }
    }
    return fail('param, var, resource, module or output')
  }

  function conditional(): Expression {
    if (!accept('if')) return expression()
    expect('(')
    const test = expression()
    expect(')')
    return { kind: 'when', test, body: expression() }
  }

  function expression(): Expression {
    const test = binary(0)
    // A question mark may begin the next line.
    const before = at
    while (peek().kind === 'newline') at += 1
    if (!accept('?')) {
      at = before
      return test
    }
    blank()
    const yes = expression()
    blank()
    expect(':')
    blank()
    return { kind: 'choice', test, yes, no: expression() }
  }

  function binary(level: number): Expression {
    const operators: readonly string[] | undefined = OPERATORS[level]
    if (operators === undefined) return unary()
    let left = binary(level + 1)
    while (peek().kind === 'mark' && operators.includes(peek().text)) {
      const operator = take().text
      left = { kind: 'binary', operator, left, right: binary(level + 1) }
    }
    return left
  }

  function unary(): Expression {
    if (accept('!')) return { kind: 'not', of: unary() }
    return postfix(primary())
  }

  function postfix(of: Expression): Expression {
    const { line } = peek()
    // `a!`: the writer knows that it is there.
    if (is('!') && peek(1).text !== '=') {
      at += 1
      return postfix(of)
    }
    if (is('.') || is('?.')) {
      const safe = take().text === '?.'
      return postfix({ kind: 'member', of, key: { kind: 'literal', value: word() }, safe, line })
    }
    if (is('[') || is('[?')) {
      const safe = take().text === '[?'
      const key = expression()
      expect(']')
      return postfix({ kind: 'member', of, key, safe, line })
    }
    return of
  }

  function primary(): Expression {
    const token = peek()
    if (token.kind === 'string') {
      at += 1
      return {
        kind: 'text',
        parts: token.parts.map((part) => ('text' in part ? part.text : inner(part.source, part.line))),
      }
    }
    if (token.kind === 'number') return { kind: 'literal', value: Number(take().text) }
    if (accept('(')) {
      const grouped = expression()
      expect(')')
      return grouped
    }
    if (is('{')) return object()
    if (is('[')) return array()
    const name = word()
    if (name === 'true' || name === 'false') return { kind: 'literal', value: name === 'true' }
    if (name === 'null') return { kind: 'literal', value: null }
    if (accept('=>')) return { kind: 'lambda', parameter: name, body: expression() }
    if (is('(')) return { kind: 'call', name, args: args(), line: token.line }
    return { kind: 'name', name, line: token.line }
  }

  function args(): readonly Expression[] {
    expect('(')
    const list: Expression[] = []
    for (blank(); !accept(')'); blank()) list.push(expression())
    return list
  }

  function object(): Expression {
    expect('{')
    const entries: (readonly [Expression, Expression])[] = []
    for (blank(); !accept('}'); blank()) {
      const key: Expression = peek().kind === 'string' ? primary() : { kind: 'literal', value: word() }
      expect(':')
      entries.push([key, expression()])
    }
    return { kind: 'object', entries }
  }

  function array(): Expression {
    expect('[')
    blank()
    if (accept('for')) return loop()
    const items: Expression[] = []
    for (blank(); !accept(']'); blank()) items.push(expression())
    return { kind: 'array', items }
  }

  function loop(): Expression {
    const paired = accept('(')
    const item = word()
    const index = paired && accept(',') ? word() : null
    if (paired) expect(')')
    expect('in')
    const list = expression()
    expect(':')
    const body = conditional()
    blank()
    expect(']')
    return { kind: 'for', item, index, list, body }
  }

  return { file, expression }
}

function inner(source: string, line: number): Expression {
  return createParser(tokenize(source, line)).expression()
}
