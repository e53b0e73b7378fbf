import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { expect, test } from 'vitest'
import { createProgram } from '../../jobs/cli/program.ts'

const PAGES = (await readdir('docs')).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)

/** Lines of shell blocks that call the command line, without what a pipe does with their output. */
async function commandLines(page: string): Promise<readonly string[]> {
  const text = await readFile(page, 'utf8')
  const blocks = [...text.matchAll(/```(?:sh|console)\n([\s\S]*?)```/g)].map(([, block = '']) => block)
  return blocks
    .flatMap((block) => block.split('\n'))
    .map((line) => line.replace(/^\$ /, '').replace(/^npx /, ''))
    .filter((line) => line.startsWith('tributary '))
    .map((line) => line.split(' | ')[0] as string)
}

const program = createProgram({
  env: {},
  streams: { out: () => undefined, err: () => undefined },
  signal: new AbortController().signal,
  exitWith: () => undefined,
})

/** What is wrong with a command line: a command or an option that there is not. */
function problemsOf(line: string): readonly string[] {
  const words = (line.match(/'[^']*'|"[^"]*"|\S+/g) ?? []).slice(1)
  let command: Command = program
  const options: string[] = []
  for (const word of words) {
    const child = command.commands.find((candidate) => candidate.name() === word)
    if (child !== undefined) command = child
    else if (word.startsWith('--')) options.push(word.split('=')[0] as string)
  }
  const known = [...command.options, ...program.options].map(({ long }) => long)
  const unknown = options.filter((option) => option !== '--help' && !known.includes(option))
  if (command === program && options.length === words.length) return unknown
  return [...(command.commands.length > 0 ? [`${command.name()} needs a subcommand`] : []), ...unknown]
}

for (const page of PAGES) {
  test(`every command that ${page} shows is one, with options that it has`, async () => {
    const wrong = (await commandLines(page)).flatMap((line) => problemsOf(line).map((problem) => `${line}: ${problem}`))
    expect(wrong).toEqual([])
  })
}

test('the runbook has a section for every alert that code opens, and for no other', async () => {
  const runbook = await readFile('docs/runbook.md', 'utf8')
  const sections = [...runbook.matchAll(/^## (\w+)$/gm)].map(([, kind = '']) => kind)
  const opened = new Set<string>()
  const paths = (await readdir('shared', { recursive: true })).filter((path) => path.endsWith('.ts'))
  for (const path of paths) {
    const text = await readFile(`shared/${path}`, 'utf8')
    for (const [, kind = ''] of text.matchAll(/kind: '(\w+)',\s*(?:severity|subject): ['a-z]/g)) opened.add(kind)
    const standing = /const STANDING_KINDS = \[([^\]]*)\]/.exec(text)?.[1] ?? ''
    for (const [, kind = ''] of standing.matchAll(/'(\w+)'/g)) opened.add(kind)
  }
  expect([...sections].sort()).toEqual([...opened].sort())
})

// The page on a new source names the test that its reader writes.
test.each(['README.md', ...PAGES.filter((page) => page !== 'docs/add-a-source.md')])(
  'every test that %s names is there',
  async (page) => {
    const text = await readFile(page, 'utf8')
    const named = [...text.matchAll(/\btest\/[\w/-]+\.test\.ts\b/g)].map(([path]) => path)
    expect(named.filter((path) => !existsSync(path))).toEqual([])
  },
)
