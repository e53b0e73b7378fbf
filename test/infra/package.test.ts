import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cp, lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { record, text } from './bicep/functions.ts'
import { ROOT, readJson, readText, readTriggers } from './deployment.ts'

const run = promisify(execFile)
const root = fileURLToPath(ROOT)
const LOAD_FUNCTIONS = fileURLToPath(new URL('fixtures/load-functions.mjs', import.meta.url))
// Modules are linked: without this Node would look beside their real place, where the dev packages are.
const AS_LINKED = ['--preserve-symlinks', '--preserve-symlinks-main']

describe('what is shipped', () => {
  let folder = ''
  let shipped = ''
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tributary-package-'))
    shipped = join(folder, 'package')
    const options = ['--built', '--modules', 'link', '--target', shipped]
    await run(process.execPath, [join(root, 'scripts/package-functions.mjs'), ...options])
  })
  afterAll(() => rm(folder, { recursive: true }))

  /** Of the folder and of the modules it links to, without following further. */
  async function filesOf(path: string): Promise<readonly string[]> {
    const files: string[] = []
    for (const entry of await readdir(path, { recursive: true, withFileTypes: true })) {
      const name = join(entry.parentPath, entry.name)
      if (entry.isFile()) files.push(name)
      if (entry.isSymbolicLink()) files.push(...(await filesOf(name)))
    }
    return files
  }

  test('to Azure Functions is what they read, and no more', async () => {
    expect((await readdir(shipped)).sort()).toEqual([
      '.funcignore',
      'dist',
      'host.json',
      'node_modules',
      'package.json',
      'streams.json',
    ])
    expect((await readdir(join(shipped, 'dist'))).sort()).toEqual(['functions', 'shared'])
    expect(await readdir(join(shipped, 'dist/shared/postgres/migrations'))).toEqual(
      await readdir(join(root, 'shared/postgres/migrations')),
    )
  })

  test('holds no binary that was built for one machine', async () => {
    expect((await filesOf(shipped)).filter((file) => /\.(node|so|dylib|dll|exe)$/.test(file))).toEqual([])
  })

  test('holds no package that is there for development only', async () => {
    const installed = (await readdir(join(shipped, 'node_modules'), { recursive: true })).map(
      (name) => `node_modules/${name}`,
    )
    const packages = Object.entries(record(readJson('package-lock.json').packages))
    const development = packages.filter(([, value]) => record(value).dev === true).map(([path]) => path)
    expect(development.length).toBeGreaterThan(100)
    expect(development.filter((path) => installed.includes(path))).toEqual([])
    expect(JSON.parse(await readFile(join(shipped, 'package.json'), 'utf8'))).not.toHaveProperty('devDependencies')
  })

  test('loads in plain Node, far from this repository, and registers every function', async () => {
    const { stdout } = await run(process.execPath, [...AS_LINKED, LOAD_FUNCTIONS], {
      cwd: shipped,
      env: { PATH: process.env.PATH },
    })
    const names = (await readTriggers()).map(({ functionName }) => functionName)
    expect(stdout.trim().split(' ')).toEqual(names.sort())
  })

  test('finds what it loads only when it needs it: clients of Azure, the credential', async () => {
    const script = `
      for (const name of ['@azure/storage-blob', '@azure/storage-queue', '@azure/data-tables', '@azure/identity', 'hyparquet', 'hyparquet-writer', 'pg', 'zod'])
        await import(name)
      console.log('all')`
    const { stdout } = await run(process.execPath, [...AS_LINKED, '--input-type=module', '--eval', script], {
      cwd: shipped,
    })
    expect(stdout).toBe('all\n')
  })

  describe('as the image', () => {
    const dockerfile = readText('infra/Dockerfile')
    const stages = dockerfile.split(/^FROM .*$/m).slice(1)
    const last = stages.at(-1) ?? ''
    const copies = (stage: string) =>
      [...stage.matchAll(/^COPY (?:--from=(\w+) )?(.+) (\S+)$/gm)].map(([, from, sources = '', target = '']) => ({
        from,
        sources: sources.split(' '),
        target,
      }))
    const image = () => join(folder, 'image')

    beforeAll(async () => {
      for (const { from, sources, target } of copies(last)) {
        for (const source of sources) {
          const to = join(image(), target, target.endsWith('/') ? source : '')
          await mkdir(dirname(to), { recursive: true })
          if (from === 'modules') await symlink(join(shipped, 'node_modules'), to)
          else if (from === 'build')
            await cp(join(root, source.replace('/build/', '')), to, {
              recursive: true,
              filter: (path) => !path.includes('dist/package'),
            })
          else await cp(join(root, source), to)
        }
      }
    })
    const start = (command: readonly string[]) =>
      run(process.execPath, [...AS_LINKED, ...command.slice(1)], { cwd: image(), env: { PATH: process.env.PATH } })

    test('it starts with plain Node: the entry point asks for its settings and ends with 2', async () => {
      const [, command = '[]'] = /^CMD (\[.*\])$/m.exec(last) ?? []
      const started = start(JSON.parse(command) as string[])
      await expect(started).rejects.toMatchObject({
        code: 2,
        stderr: expect.stringMatching(/^services: expected DATABASE_URL/),
      })
    })

    test('it holds the job migrate, with its migrations', async () => {
      const started = start(['node', 'dist/jobs/migrate.js'])
      await expect(started).rejects.toMatchObject({
        code: 2,
        stderr: expect.stringContaining('DATABASE_URL: expected'),
      })
      expect(await readdir(join(image(), 'dist/shared/postgres/migrations'))).toContain('000001-ingest.sql')
    })

    test('Node is process 1, without a shell before it, and is not root', () => {
      expect(last).toMatch(/\nUSER node\n[\s\S]*\nCMD \["node", .*\]\n$/)
      expect(last).not.toMatch(/ENTRYPOINT|CMD [^[]/)
    })

    test('everything it is built from is in the context, and nothing else', async () => {
      const sources = stages
        .flatMap(copies)
        .filter(({ from }) => from === undefined)
        .flatMap((copy) => copy.sources)
      // BuildKit reads the one beside the Dockerfile; azd, packing the context for a build in Azure, that of the root.
      const ignores = ['infra/Dockerfile.dockerignore', '.dockerignore'].filter((path) => existsSync(join(root, path)))
      for (const ignore of ignores) {
        const allowed = [...readText(ignore).matchAll(/^!(.+)$/gm)].map(([, path = '']) => path)
        expect(allowed.sort(), ignore).toEqual([...new Set(sources)].sort())
      }
      for (const source of sources) expect(await lstat(join(root, source))).toBeDefined()
    })

    test('it runs the Node that the functions run', () => {
      const versions = [...dockerfile.matchAll(/^FROM node:(\d+)-slim/gm)].map(([, version]) => version)
      expect(
        new Set([...versions, /param nodeVersion string = '(\d+)'/.exec(readText('infra/main.bicep'))?.[1]]),
      ).toEqual(new Set(['22']))
    })
  })

  test('the emulator of the compose file is the one that npm installs', () => {
    const { devDependencies } = readJson('package.json')
    expect(readText('infra/docker-compose.yml')).toContain(
      `azure-storage/azurite:${text(record(devDependencies).azurite)}`,
    )
  })
})
