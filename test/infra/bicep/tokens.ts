/** Tokens of the part of Bicep that infra/ uses. Newlines count: they separate statements and items. */
export type Token =
  | { readonly kind: 'word' | 'number' | 'mark' | 'newline' | 'end'; readonly text: string; readonly line: number }
  /** `'a${b}c'`: texts and, between them, the source of expressions. */
  | { readonly kind: 'string'; readonly parts: readonly StringPart[]; readonly text: string; readonly line: number }

export type StringPart = { readonly text: string } | { readonly source: string; readonly line: number }

const MARKS = ['=>', '==', '!=', '>=', '<=', '&&', '||', '??', '?.', '[?', ...'[]{}()=:,.?!<>+-*/%@']
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', "'": "'", '\\': '\\', $: '$' }

export function tokenize(source: string, firstLine = 1): readonly Token[] {
  const tokens: Token[] = []
  let at = 0
  let line = firstLine
  while (at < source.length) {
    const rest = source.slice(at)
    const skipped = /^(?:[ \t\r]+|\/\/[^\n]*)/.exec(rest)?.[0]
    if (skipped !== undefined) {
      at += skipped.length
    } else if (rest.startsWith('\n')) {
      tokens.push({ kind: 'newline', text: '\n', line })
      line += 1
      at += 1
    } else if (rest.startsWith("'")) {
      const { parts, length } = readString(rest, line)
      tokens.push({ kind: 'string', parts, text: rest.slice(0, length), line })
      at += length
    } else {
      const word = /^[A-Za-z_][A-Za-z0-9_]*/.exec(rest)?.[0]
      const number = /^[0-9]+/.exec(rest)?.[0]
      const mark = MARKS.find((text) => rest.startsWith(text))
      const text = word ?? number ?? mark
      if (text === undefined)
        throw new Error(`line ${line}: expected a token, got ${JSON.stringify(rest.slice(0, 20))}`)
      tokens.push({ kind: word ? 'word' : number ? 'number' : 'mark', text, line })
      at += text.length
    }
  }
  tokens.push({ kind: 'end', text: 'the end', line })
  return tokens
}

function readString(source: string, line: number): { parts: StringPart[]; length: number } {
  const parts: StringPart[] = []
  let text = ''
  for (let at = 1; at < source.length; at++) {
    const char = source[at] ?? ''
    if (char === "'") return { parts: [...parts, { text }], length: at + 1 }
    if (char === '\n') break
    if (char === '\\') {
      at += 1
      text += ESCAPES[source[at] ?? ''] ?? ''
    } else if (char === '$' && source[at + 1] === '{') {
      const end = endOfExpression(source, at + 2)
      parts.push({ text }, { source: source.slice(at + 2, end), line })
      text = ''
      at = end
    } else {
      text += char
    }
  }
  throw new Error(`line ${line}: expected the end of a string, got the end of the line`)
}

/** Index of the brace that closes an interpolation; strings and braces may stand within it. */
function endOfExpression(source: string, from: number): number {
  let depth = 0
  for (let at = from; at < source.length; at++) {
    const char = source[at]
    if (char === "'") at += readString(source.slice(at), 0).length - 1
    else if (char === '{') depth += 1
    else if (char === '}' && depth-- === 0) return at
  }
  throw new Error('interpolation: expected a closing brace, got the end of the file')
}
