import { readFile } from 'node:fs/promises'

export type CodeBlock = {
  readonly language: string
  readonly text: string
}

/** A block whose first line names the file that it is, or that it changes: `// path` or `// path: what of it`. */
export type FileBlock = CodeBlock & {
  readonly path: string
  /** Undefined where the block is the whole file. */
  readonly part: string | undefined
}

export type Page = {
  /** Whole files, and parts of files that are there already, in the order of the page. */
  readonly files: readonly FileBlock[]
  /** Commands, in the order of the page. */
  readonly commands: readonly string[]
  /** What commands print. */
  readonly outputs: readonly string[]
}

const CODE_BLOCK = /^```(\w+)\n([\s\S]*?)^```$/gm
const FIRST_LINE = /^\/\/ ([\w./-]+)(?:: (.+))?\n/

/** Throws where a block of code does not say which file it belongs to. */
export async function readPage(path: URL): Promise<Page> {
  const markdown = await readFile(path, 'utf8')
  const blocks = [...markdown.matchAll(CODE_BLOCK)].map(([, language = '', text = '']) => ({ language, text }))
  const textsOf = (wanted: string) => blocks.filter(({ language }) => language === wanted).map(({ text }) => text)
  return {
    files: blocks.filter(({ language }) => language === 'ts' || language === 'jsonc').map(fileBlockOf),
    commands: textsOf('sh'),
    outputs: textsOf('text'),
  }
}

function fileBlockOf({ language, text }: CodeBlock): FileBlock {
  const [line, path, part] = FIRST_LINE.exec(text) ?? []
  if (line === undefined || path === undefined) {
    throw new Error(`code block: expected a first line that names its file, got ${text.split('\n', 1)}`)
  }
  return { language, path, part, text: text.slice(line.length) }
}
