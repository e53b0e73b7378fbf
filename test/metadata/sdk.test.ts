import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { useTestEnvironment } from '../support/environment.ts'
import { type ServedMetadata, serveMetadata } from './remote-bench.ts'
import { startProxy } from './remote-proxy.ts'

const run = promisify(execFile)
const FIXTURES = 'test/metadata/fixtures'
const IMPORT = /(?:^|[\s;])(?:import|export)\s[^'"]*?from\s*['"]([^'"]+)['"]|import\s*\(?\s*['"]([^'"]+)['"]/g

/** Every module that a compiled file loads, itself included; of packages their names. */
async function importsOf(entry: string) {
  const [files, packages] = [new Set<string>(), new Set<string>()]
  const waiting = [resolve(entry)]
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (files.has(file)) continue
    files.add(file)
    for (const [, named, bare] of (await readFile(file, 'utf8')).matchAll(IMPORT)) {
      const name = named ?? bare ?? ''
      if (name.startsWith('.')) waiting.push(resolve(dirname(file), name))
      else packages.add(name)
    }
  }
  return { files, packages }
}

describe('the package as others install it', () => {
  const environment = useTestEnvironment()
  let served: ServedMetadata
  let project: string
  let token: string

  beforeAll(async () => {
    served = await serveMetadata(environment.databaseUrl)
    token = await served.token({ tenant: 'ours' })
    project = await mkdtemp(join(tmpdir(), 'tributary-sdk-'))
    const packed = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', project])
    const [{ filename } = { filename: '' }] = z
      .array(z.object({ filename: z.string() }))
      .parse(JSON.parse(packed.stdout))
    await mkdir(join(project, 'node_modules', '@types'), { recursive: true })
    await run('tar', ['-xzf', filename], { cwd: project })
    await cp(join(project, 'package'), join(project, 'node_modules', 'tributary'), { recursive: true })
    for (const name of ['zod', '@types/node', 'undici-types']) {
      await symlink(resolve('node_modules', name), join(project, 'node_modules', name), 'junction')
    }
  })
  afterAll(async () => {
    await served?.close()
    if (project !== undefined) await rm(project, { recursive: true })
  })

  const script = async (name: string, env: Readonly<Record<string, string>> = {}) => {
    await cp(join(FIXTURES, name), join(project, name))
    const given = { ...process.env, METADATA_URL: served.url, METADATA_TOKEN: token, ...env }
    return (await run(process.execPath, [name], { cwd: project, env: given })).stdout
  }

  test('tributary/metadata loads zod, Node and its own files', async () => {
    const { files, packages } = await importsOf('dist/shared/metadata/client.js')
    expect([...packages].filter((name) => !name.startsWith('node:'))).toEqual(['zod'])
    const folders = new Set([...files].map((file) => dirname(file).slice(resolve('dist').length + 1)))
    expect([...folders].sort()).toEqual([
      'shared',
      'shared/http',
      'shared/metadata',
      'shared/metadata/model',
      'shared/metadata/model/kinds',
      'shared/metadata/remote',
      'shared/metadata/service',
      'shared/metadata/service/wire',
    ])
  })

  test('a script stores, reads and emits, and ends by itself', async () => {
    const lines = (await script('sdk-script.mjs')).trim().split('\n')
    expect(lines).toEqual([
      'stored',
      'replayed',
      'refused record-schema-invalid /payload/records',
      'latest 12 of 2026-11-20T00:00:00.000000Z',
      'history 12 10',
      'kinds 8',
      'lineage 2 nodes',
      'unknown cursor: malformed-cursor',
      'flush {"stored":2,"replayed":1,"refused":0,"spilled":0,"dropped":0,"problems":[],"error":null}',
    ])
  })

  test('a process whose service hangs ends with its flush, and the next one stores what it left', async () => {
    const proxy = await startProxy(served.url)
    const env = { SPILL_FOLDER: join(project, 'spill') }
    proxy.always('hang')
    expect(await script('sdk-spill.mjs', { ...env, METADATA_URL: proxy.url, EMIT: '3' })).toMatch(/"spilled":3/)
    expect(await readdir(env.SPILL_FOLDER)).toHaveLength(1)
    proxy.next()
    expect(await script('sdk-spill.mjs', { ...env, METADATA_URL: proxy.url, EMIT: '0' })).toMatch(
      /"(?:stored|replayed)":3/,
    )
    expect(await readdir(env.SPILL_FOLDER)).toEqual([])
    await proxy.close()
  })

  test('its types check what is written against them', async () => {
    const options = { module: 'nodenext', strict: true, noEmit: true, skipLibCheck: false, types: ['node'] }
    await writeFile(join(project, 'package.json'), '{"type":"module"}')
    await writeFile(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, include: ['*.ts'] }))
    const compile = async (name: string, text: string) => {
      await writeFile(join(project, 'typed.ts'), text)
      const tsc = resolve('node_modules/typescript/bin/tsc')
      expect(existsSync(tsc), name).toBe(true)
      return run(process.execPath, [tsc, '-p', '.'], { cwd: project }).then(
        () => '',
        (error: { readonly stdout: string }) => error.stdout,
      )
    }
    const good = await readFile(join(FIXTURES, 'sdk-typed.ts.txt'), 'utf8')
    expect(await compile('good', good)).toBe('')
    expect(await compile('bad', good.replace('records: 3', "records: 'three'"))).toMatch(/typed\.ts.*TS2322/)
  })
})
