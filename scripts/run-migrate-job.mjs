// Starts the job `migrate` in Azure and waits until it has succeeded: azd runs this after it has deployed the jobs, and
// deploys the functions only then. Safe to repeat. Ends with 1 where the job failed, with 2 where a setting is missing.
//
// https://learn.microsoft.com/rest/api/containerapps/jobs/start
import { execFileSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'

const API_VERSION = '2025-07-01'
const POLL_MS = Number(process.env.MIGRATE_POLL_MS || 5_000)
// Longer than the job may take with its retries.
const WAIT_MS_MAX = 45 * 60_000
// A token is asked for again this long before it ends.
const RENEW_MS = 5 * 60_000
// Processing, Running and Unknown are waited for.
const FAILED = ['Failed', 'Stopped', 'Degraded']

const NAMES = ['AZURE_SUBSCRIPTION_ID', 'AZURE_RESOURCE_GROUP', 'MIGRATE_JOB_NAME']
const missing = NAMES.filter((name) => !process.env[name])
if (missing.length > 0) {
  fail(2, `${missing.join(', ')}: expected values of the azd environment, got none; run azd provision first`)
}
const arm = process.env.AZURE_RESOURCE_MANAGER || 'https://management.azure.com'
const job = `${arm}/subscriptions/${process.env.AZURE_SUBSCRIPTION_ID}/resourceGroups/${process.env.AZURE_RESOURCE_GROUP}/providers/Microsoft.App/jobs/${process.env.MIGRATE_JOB_NAME}`
let known = { token: '', expiresMs: 0 }

const execution = await start()
process.stdout.write(`migrate     started as ${execution}\n`)
const deadlineMs = Date.now() + WAIT_MS_MAX
for (;;) {
  const { properties } = await request('GET', `${job}/executions/${execution}?api-version=${API_VERSION}`)
  const status = properties?.status
  if (status === 'Succeeded') break
  const logs = `look for "migrate_failed" in ContainerAppConsoleLogs, then run azd deploy again`
  if (FAILED.includes(status)) fail(1, `execution ${execution}: expected Succeeded, got ${status}; ${logs}`)
  if (Date.now() > deadlineMs) fail(1, `execution ${execution}: expected Succeeded in time, got ${status}; ${logs}`)
  await sleep(POLL_MS)
}
process.stdout.write('migrate     succeeded\n')

/** Without a body: a template here would replace the job's own, its settings with it. */
async function start() {
  let answer = await send('POST', `${job}/start?api-version=${API_VERSION}`)
  // 202 may name only the place where the answer will be.
  while (answer.status === 202 && answer.location && !answer.body?.name) {
    await sleep(POLL_MS)
    answer = await send('GET', answer.location)
  }
  if (typeof answer.body?.name === 'string') return answer.body.name
  return fail(1, `start of ${process.env.MIGRATE_JOB_NAME}: expected the name of an execution, got ${answer.status}`)
}

async function request(method, url) {
  return (await send(method, url)).body
}

async function send(method, url) {
  const answer = await fetch(url, { method, headers: { authorization: `Bearer ${bearer()}` } })
  const text = await answer.text()
  if (!answer.ok)
    fail(1, `${method} ${new URL(url).pathname}: expected status 2xx, got ${answer.status} ${text.slice(0, 500)}`)
  const location = answer.headers.get('location')
  return { status: answer.status, location, body: text === '' ? undefined : JSON.parse(text) }
}

/** Of whoever signed in to azd, a person or the pipeline: nothing has to be installed for it, not even our modules. */
function bearer() {
  if (known.expiresMs - Date.now() > RENEW_MS) return known.token
  const args = ['auth', 'token', '--output', 'json', '--no-prompt', '--scope', 'https://management.azure.com/.default']
  try {
    const { token, expiresOn } = JSON.parse(
      execFileSync('azd', args, { encoding: 'utf8', shell: process.platform === 'win32' }),
    )
    known = { token, expiresMs: Date.parse(expiresOn) }
    return token
  } catch (error) {
    return fail(1, `azd auth token: expected a token, got ${error.message}; run azd auth login`)
  }
}

function fail(code, message) {
  process.stderr.write(`${message}\n`)
  process.exit(code)
}
