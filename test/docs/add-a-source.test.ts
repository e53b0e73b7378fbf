import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { freePort } from '../../jobs/local/stack/free-port.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { type FileBlock, type Page, readPage } from './page.ts'
import { copyProject, type ProjectCopy } from './project-copy.ts'
import { runShell } from './shell.ts'

const PAGE = new URL('../../docs/add-a-source.md', import.meta.url)
/** Compiles and runs whole suites in child processes. */
const TIMEOUT_MS = 180_000

/** Where the page says that a part goes: after what matches. */
const PLACES: Readonly<Record<string, RegExp>> = {
  'shared/sources/registry.ts: an import': /^/,
  'shared/sources/registry.ts: in the list of SOURCES': /\[\s*\w+(,\s*\w+)*(?=,?\s*\]\.map)/,
  'local.settings.example.json: two values': /"Values": \{\n/,
  'test/house/transform-fingerprints.test.ts: an import': /^/,
  'test/house/transform-fingerprints.test.ts: in PAGES': /const PAGES.*\{/,
  'test/house/transform-fingerprints.test.ts: in FINGERPRINTS': /FINGERPRINTS.*= \{\n/,
}

describe('docs/add-a-source.md, followed literally in a copy of the repository', () => {
  const environment = useTestEnvironment()
  let page: Page
  let project: ProjectCopy

  beforeAll(async () => {
    project = await copyProject()
    page = await readPage(PAGE)
    for (const file of page.files) await putInPlace(project, file)
  })
  afterAll(() => project.remove())

  const commandOf = (word: string): string => {
    const [command, ...more] = page.commands.filter((text) => text.includes(word))
    if (command === undefined || more.length > 0) {
      throw new Error(`commands with ${word}: expected one on the page, got ${more.length === 0 ? 'none' : 'more'}`)
    }
    return command
  }

  test('gives whole files that keep the rules of the house', { timeout: TIMEOUT_MS }, async ({ signal }) => {
    const { code, output } = await runShell(commandOf('tsc'), { folder: project.folder, signal })
    expect(code, output).toBe(0)
  })

  test('makes a source that passes every conformance case', { timeout: TIMEOUT_MS }, async ({ signal }) => {
    // The server is there; the run makes databases of its own in it, and drops them.
    const env = { DATABASE_URL: inject('testServices').maintenanceUrl }
    const { code, output } = await runShell(commandOf('vitest'), { folder: project.folder, env, signal })
    const [, passed] = /^(\d+) passed, 0 failed$/m.exec(output) ?? []
    expect(Number(passed), output).toBeGreaterThan(20)
    expect(code, output).toBe(0)
    // The suite's own line: the cases of the house are counted too.
    const [, cases] = /source-ebbtide\.test\.ts \((\d+) tests\)/.exec(output) ?? []
    expect(Number(cases), output).toBeGreaterThan(20)
  })

  test('publishes the rows that it shows, by the whole application', { timeout: TIMEOUT_MS }, async ({ signal }) => {
    const commands = commandOf('npm start').replaceAll('8701', String(await freePort('127.0.0.1')))
    const env = {
      DATABASE_URL: environment.databaseUrl,
      AzureWebJobsStorage: environment.storageConnectionString,
    }
    const { code, output } = await runShell(commands, { folder: project.folder, env, signal })
    expect(page.outputs).not.toHaveLength(0)
    for (const shown of page.outputs) expect(output).toContain(shown)
    expect(code, output).toBe(0)
  })
})

async function putInPlace(project: ProjectCopy, { path, part, text }: FileBlock): Promise<void> {
  if (part === undefined) return await project.add(path, text)
  const place = PLACES[`${path}: ${part}`]
  if (place === undefined) {
    throw new Error(`${path}: expected a part that the test knows how to put in place, got ${part}`)
  }
  await project.edit(path, place, text)
}
