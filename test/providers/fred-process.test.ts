import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { expect, onTestFinished, test } from 'vitest'

const MAIN = new URL('../../dist/jobs/local/providers/main.js', import.meta.url).pathname
const KEY = 'abcdef0123456789abcdef0123456789'

test('the simulator of fred is a process of its own, with both series and a limit per second', async () => {
  const child = spawn(process.execPath, [MAIN, 'fred', '--rate-limit', '2'], { stdio: ['pipe', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  const [line] = await once(createInterface({ input: child.stdout }), 'line')
  const ready = JSON.parse(String(line))
  expect([ready.event, ready.source]).toEqual(['provider_ready', 'fred'])
  const query = `api_key=${KEY}&file_type=json&limit=1`
  const ask = (id: string) => fetch(`${ready.url}/fred/series/observations?series_id=${id}&${query}`)
  // All at once: however slow the machine, two of four sent together are too many within a second.
  const answers = await Promise.all(['DGS10', 'NASDAQCOM', 'DGS10', 'NASDAQCOM'].map(ask))
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 429, 429])
  const pages = await Promise.all(answers.filter(({ ok }) => ok).map((answer) => answer.json()))
  expect(pages).toMatchObject([{ count: 5_295 }, { count: 5_295 }])
})
