import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { expect, onTestFinished, test } from 'vitest'

const MAIN = new URL('../../dist/jobs/local/providers/main.js', import.meta.url).pathname

function start(...args: readonly string[]) {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['pipe', 'pipe', 'pipe'] })
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  return child
}

async function readyLine(child: ReturnType<typeof start>): Promise<{ event: string; source: string; url: string }> {
  const [line] = await once(createInterface({ input: child.stdout }), 'line')
  return JSON.parse(String(line))
}

async function exitOf(child: ChildProcess): Promise<unknown> {
  const [code, signal] = await once(child, 'exit')
  return code ?? signal
}

test('the process says in one line where it listens, and answers there', async () => {
  const child = start('alpaca', '--rate-limit', '1')
  const ready = await readyLine(child)
  expect(ready).toEqual({
    event: 'provider_ready',
    source: 'alpaca',
    url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
  })
  const statuses = []
  for (let count = 0; count < 2; count++) statuses.push((await fetch(`${ready.url}/v2/stocks/bars`)).status)
  expect(statuses).toEqual([403, 429])
})

test('of massive it has a stock, an index and a metal, and takes as many requests a minute as it is told', async () => {
  const { url } = await readyLine(start('massive', '--rate-limit', '3'))
  const ask = async (symbol: string) => {
    const path = `/v2/aggs/ticker/${symbol}/range/1/hour/2019-07-01/2019-07-01`
    const answer = await fetch(`${url}${path}`, { headers: { authorization: 'Bearer any-key' } })
    return [answer.status, ((await answer.json()) as { count?: number }).count]
  }
  const symbols = ['TSLA', 'I:NDX', 'C:XAUUSD']
  expect(await Promise.all(symbols.map(ask))).toEqual(symbols.map(() => [200, 7]))
  expect(await ask('TSLA')).toEqual([429, undefined])
})

test.each(['SIGTERM', 'SIGINT'] as const)('it ends well on %s', async (signal) => {
  const child = start('alpaca')
  await readyLine(child)
  child.kill(signal)
  expect(await exitOf(child)).toBe(0)
})

test('it ends when its standard input closes, so that no killed parent leaves it behind', async () => {
  const child = start('alpaca')
  await readyLine(child)
  child.stdin.end()
  expect(await exitOf(child)).toBe(0)
})

test.each([
  [[], 'provider: expected one of alpaca, fred, massive, got ""\n'],
  [['yahoo'], 'provider: expected one of alpaca, fred, massive, got "yahoo"\n'],
  [['alpaca', '--port', 'x'], '--port: expected a whole number from 0 to 65535, got "x"\n'],
  [['alpaca', '--rate-limit', '0'], '--rate-limit: expected a whole number from 1 to 1000000, got "0"\n'],
  [['alpaca', '--verbose'], "provider: Unknown option '--verbose'"],
])('the arguments %j end it with exit code 2 and a reason', async (args, reason) => {
  const child = start(...args)
  let told = ''
  child.stderr.on('data', (chunk) => {
    told += String(chunk)
  })
  expect(await exitOf(child)).toBe(2)
  expect(told).toContain(reason)
})
