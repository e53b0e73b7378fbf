import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'
import { findServices } from '../../jobs/local/services.ts'

/** Announces its services, says so, and runs until its standard input ends. */
const SCRIPT = `
import { announceServices } from ${JSON.stringify(pathToFileURL(resolve('dist/jobs/local/services.js')).href)}
const withdraw = await announceServices(process.argv[2], { DATABASE_URL: 'postgres://here' })
process.stdout.write('announced')
process.stdin.resume().on('end', withdraw)
`

describe('services that npm start announces in its data folder', () => {
  const folders: string[] = []
  afterEach(async () => {
    for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true })
  })
  const start = async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tributary-services-'))
    folders.push(folder)
    await writeFile(join(folder, 'start.mjs'), SCRIPT)
    // By a relative path, as the script in package.json does.
    const child = spawn(process.execPath, ['start.mjs', folder], { cwd: folder, stdio: ['pipe', 'pipe', 'inherit'] })
    await once(child.stdout, 'data')
    return { folder, child }
  }

  test('are found while it runs, by their owner alone, and no more once it has stopped', async () => {
    const { folder, child } = await start()
    expect(await findServices(folder)).toEqual({ DATABASE_URL: 'postgres://here' })
    expect((await stat(join(folder, 'services.json'))).mode & 0o777).toBe(0o600)
    child.stdin.end()
    await once(child, 'close')
    expect(await findServices(folder)).toBeNull()
  })

  test('are not believed where it was killed', async () => {
    const { folder, child } = await start()
    child.kill('SIGKILL')
    await once(child, 'close')
    expect(await findServices(folder)).toBeNull()
    expect((await stat(join(folder, 'services.json'))).isFile()).toBe(true)
  })
})
