import { execFile } from 'node:child_process'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

const SCRIPT = fileURLToPath(new URL('../../scripts/run-migrate-job.mjs', import.meta.url))
const JOB = '/subscriptions/sub/resourceGroups/rg/providers/Microsoft.App/jobs/caj-migrate'
const run = promisify(execFile)

const AZD = `#!/bin/sh
[ "$*" = 'auth token --output json --no-prompt --scope https://management.azure.com/.default' ] || exit 9
echo '{"token":"of-azd","expiresOn":"2099-01-01T00:00:00Z"}'
`

type Answer = { readonly status: number; readonly body?: unknown; readonly location?: string }

describe.skipIf(process.platform === 'win32')('the hook after the jobs are deployed', () => {
  let folder = ''
  let server: Server
  let arm = ''
  let answers: Answer[] = []
  let requests: string[] = []
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tributary-azd-'))
    await writeFile(join(folder, 'azd'), AZD)
    await chmod(join(folder, 'azd'), 0o755)
    server = createServer((request, response) => {
      requests.push(
        `${request.method} ${request.url} ${request.headers.authorization} ${request.headers['content-length'] ?? ''}`.trim(),
      )
      const { status, body, location } = answers.shift() ?? { status: 500, body: 'no answer is left' }
      response.writeHead(status, location === undefined ? {} : { location: `${arm}${location}` })
      response.end(body === undefined ? '' : JSON.stringify(body))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    arm = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  afterAll(async () => {
    server.close()
    await rm(folder, { recursive: true })
  })
  beforeEach(() => {
    requests = []
  })

  const settings = { AZURE_SUBSCRIPTION_ID: 'sub', AZURE_RESOURCE_GROUP: 'rg', MIGRATE_JOB_NAME: 'caj-migrate' }
  const hook = (given: readonly Answer[], env: Readonly<Record<string, string>> = settings) => {
    answers = [...given]
    const path = `${folder}${delimiter}${process.env.PATH}`
    return run(process.execPath, [SCRIPT], {
      env: { PATH: path, AZURE_RESOURCE_MANAGER: arm, MIGRATE_POLL_MS: '1', ...env },
    })
  }
  const status = (name: string): Answer => ({ status: 200, body: { properties: { status: name } } })

  test('starts the job as it is, without a template of its own, and waits until it has succeeded', async () => {
    const { stdout } = await hook([
      { status: 200, body: { name: 'one' } },
      status('Running'),
      status('Unknown'),
      status('Succeeded'),
    ])
    expect(stdout).toBe('migrate     started as one\nmigrate     succeeded\n')
    expect(requests).toEqual([
      `POST ${JOB}/start?api-version=2025-07-01 Bearer of-azd 0`,
      ...Array(3).fill(`GET ${JOB}/executions/one?api-version=2025-07-01 Bearer of-azd`),
    ])
  })

  test('follows to where the answer will be', async () => {
    const { stdout } = await hook([
      { status: 202, location: '/later' },
      { status: 202, location: '/later' },
      { status: 200, body: { name: 'two' } },
      status('Succeeded'),
    ])
    expect(stdout).toContain('started as two')
  })

  test.each(['Failed', 'Stopped'])('an execution that is %s ends the deployment with 1', async (name) => {
    const failed = hook([{ status: 200, body: { name: 'one' } }, status(name)])
    await expect(failed).rejects.toMatchObject({
      code: 1,
      stderr: `execution one: expected Succeeded, got ${name}; look for "migrate_failed" in ContainerAppConsoleLogs, then run azd deploy again\n`,
    })
  })

  test('without azd, or signed out, it says how to sign in', async () => {
    await expect(hook([], { ...settings, PATH: '/nowhere' })).rejects.toMatchObject({
      code: 1,
      stderr: 'azd auth token: expected a token, got spawnSync azd ENOENT; run azd auth login\n',
    })
  })

  test('an answer of Azure that is no success is shown', async () => {
    const failed = hook([{ status: 403, body: { error: { code: 'AuthorizationFailed' } } }])
    await expect(failed).rejects.toMatchObject({
      code: 1,
      stderr: `POST ${JOB}/start: expected status 2xx, got 403 {"error":{"code":"AuthorizationFailed"}}\n`,
    })
  })

  test('without an environment it names what is missing and ends with 2', async () => {
    const failed = hook([], { AZURE_RESOURCE_GROUP: 'rg' })
    await expect(failed).rejects.toMatchObject({
      code: 2,
      stderr:
        'AZURE_SUBSCRIPTION_ID, MIGRATE_JOB_NAME: expected values of the azd environment, got none; run azd provision first\n',
    })
  })
})
