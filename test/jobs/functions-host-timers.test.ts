import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { parseNcrontab } from '../../jobs/local/functions-host/ncrontab.ts'
import { statusAfterRun, statusAtStart } from '../../jobs/local/functions-host/timer-status.ts'
import {
  removeTemporaryFolders,
  sleep,
  startTestHost,
  type TestHost,
  type TestHostOptions,
  temporaryFolder,
  until,
} from './fixtures/functions-host/harness.ts'

let running: TestHost[] = []

afterEach(async () => {
  await Promise.all(running.map(({ host }) => host.stop({ graceMs: 5_000 })))
  running = []
})

afterAll(removeTemporaryFolders)

async function start(files: readonly string[], options?: TestHostOptions): Promise<TestHost> {
  const started = await startTestHost(files, options)
  running.push(started)
  return started
}

const at = (text: string) => new Date(text)

describe('ncrontab', () => {
  const occurrences = (expression: string, after: string, count: number) => {
    const schedule = parseNcrontab(expression)
    const found: string[] = []
    let last = at(after)
    while (found.length < count) {
      last = schedule.next(last)
      found.push(last.toISOString().replace('.000Z', 'Z'))
    }
    return found
  }

  test('day of month and day of week must both match', () => {
    expect(occurrences('0 30 9 13 * Fri', '2026-01-01T00:00:00Z', 3)).toEqual([
      '2026-02-13T09:30:00Z',
      '2026-03-13T09:30:00Z',
      '2026-11-13T09:30:00Z',
    ])
  })

  test('an occurrence is strictly after the instant, in UTC', () => {
    expect(occurrences('0 */5 * * * *', '2026-03-29T00:55:00Z', 3)).toEqual([
      '2026-03-29T01:00:00Z',
      '2026-03-29T01:05:00Z',
      '2026-03-29T01:10:00Z',
    ])
  })

  test('a step without a range goes up to the end of the field', () => {
    expect(occurrences('5/20 0 0 * * *', '2026-01-01T00:00:00Z', 4)).toEqual([
      '2026-01-01T00:00:05Z',
      '2026-01-01T00:00:25Z',
      '2026-01-01T00:00:45Z',
      '2026-01-02T00:00:05Z',
    ])
  })

  test('names of months and days, lists and ranges are read', () => {
    expect(occurrences('0 0 6 * jan,Mar MON-tue', '2026-01-26T12:00:00Z', 3)).toEqual([
      '2026-01-27T06:00:00Z',
      '2026-03-02T06:00:00Z',
      '2026-03-03T06:00:00Z',
    ])
  })

  test.each([
    ['0 0 0 * * 7', 'a day of week from 0 to 6, *, a-b or /n, got 7'],
    ['0 0 0 * * 5-7', 'a day of week from 0 to 6, *, a-b or /n, got 5-7'],
    ['0 0 0 L * *', 'a day of month from 1 to 31, *, a-b or /n, got L'],
    ['0 0 0 15W * *', 'a day of month from 1 to 31, *, a-b or /n, got 15W'],
    ['0 0 0 * * MON#2', 'a day of week from 0 to 6, *, a-b or /n, got MON#2'],
    ['0 0 0 * * ?', 'a day of week from 0 to 6, *, a-b or /n, got ?'],
    ['0 0 0 1 * +MON', 'a day of week from 0 to 6, *, a-b or /n, got +MON'],
    ['0 0 24 * * *', 'a hour from 0 to 23, *, a-b or /n, got 24'],
    ['0 60/5 * * * *', 'a minute from 0 to 59, *, a-b or /n, got 60/5'],
    ['0 30-10 * * * *', 'a minute from 0 to 59, *, a-b or /n, got 30-10'],
    ['0 */0 * * * *', 'a minute from 0 to 59, *, a-b or /n, got */0'],
    ['0 , * * * *', 'a minute from 0 to 59, *, a-b or /n, got '],
    ['*/5 * * * *', 'six fields (second minute hour day month weekday), got 5'],
    ['00:05:00', 'six fields (second minute hour day month weekday), got 1'],
    ['@daily', 'six fields (second minute hour day month weekday), got 1'],
  ])('"%s" is refused', (expression, problem) => {
    expect(() => parseNcrontab(expression)).toThrow(`schedule "${expression}": expected ${problem}`)
  })

  test('a schedule that never occurs is refused', () => {
    expect(() => parseNcrontab('0 0 0 31 2 *')).toThrow('schedule "0 0 0 31 2 *": expected an occurrence after')
  })
})

describe('the status of a timer', () => {
  const hourly = parseNcrontab('0 0 * * * *')
  const stored = {
    last: at('2026-01-01T09:00:00Z'),
    next: at('2026-01-01T10:00:00Z'),
    lastUpdated: at('2026-01-01T09:00:00Z'),
  }

  test('without one, the timer waits for its next occurrence', () => {
    const now = at('2026-01-01T09:35:00Z')
    expect(statusAtStart(undefined, hourly, now)).toEqual({
      status: { last: null, next: at('2026-01-01T10:00:00Z'), lastUpdated: now },
      isPastDue: false,
    })
  })

  test('an occurrence that was missed is past due, one that is to come is not', () => {
    expect(statusAtStart(stored, hourly, at('2026-01-01T10:00:01Z')).isPastDue).toBe(true)
    expect(statusAtStart(stored, hourly, at('2026-01-01T09:59:59Z')).isPastDue).toBe(false)
  })

  test('a timer that never ran is past due too', () => {
    const first = statusAtStart(undefined, hourly, at('2026-01-01T09:35:00Z')).status
    expect(statusAtStart(first, hourly, at('2026-01-01T15:00:00Z')).isPastDue).toBe(true)
  })

  test('a schedule that was changed meanwhile counts from now', () => {
    const daily = parseNcrontab('0 0 0 * * *')
    const now = at('2026-01-05T12:00:00Z')
    const changed = statusAtStart(stored, daily, now)
    expect(changed).toEqual({
      status: { last: null, next: at('2026-01-06T00:00:00Z'), lastUpdated: now },
      isPastDue: false,
    })
    expect(statusAtStart(changed.status, daily, at('2026-01-06T00:00:01Z')).isPastDue).toBe(true)
  })

  test('a run that began a little early does not leave its occurrence to be run again', () => {
    const after = statusAfterRun(stored, hourly, at('2026-01-01T09:59:59.998Z'))
    expect(after).toEqual({
      last: at('2026-01-01T10:00:00Z'),
      next: at('2026-01-01T11:00:00Z'),
      lastUpdated: at('2026-01-01T10:00:00Z'),
    })
  })
})

describe('a scheduled timer', () => {
  const statusFile = (dataDir: string) => join(dataDir, 'functions-host', 'timers', 'minutely.json')
  const minutely = { timers: 'scheduled', settings: { MINUTELY: '0 * * * * *' } } as const

  // Another timer of the same file fires every second.
  const minutelyRuns = (said: readonly string[]) => said.filter((line) => line.startsWith('minutely '))

  /** As a host leaves it that ran the timer `minutes` ago (negative: in the future) and was killed. */
  async function missed(minutes: number): Promise<string> {
    const dataDir = await temporaryFolder()
    const lastMs = Math.floor(Date.now() / 60_000 - minutes) * 60_000
    const last = new Date(lastMs).toISOString()
    await mkdir(join(dataDir, 'functions-host', 'timers'), { recursive: true })
    const status = { last, next: new Date(lastMs + 60_000).toISOString(), lastUpdated: last }
    await writeFile(statusFile(dataDir), JSON.stringify(status))
    return dataDir
  }

  test('that was missed five times runs once, past due', async () => {
    const dataDir = await missed(6)
    const { said } = await start(['timers.mjs'], { ...minutely, dataDir })
    await until('the status of the run', async () => {
      const { last, next } = JSON.parse(await readFile(statusFile(dataDir), 'utf8'))
      return Date.parse(next) > Date.now() && Date.parse(last) > Date.now() - 60_000
    })
    const runs = minutelyRuns(said()).map((line) => JSON.parse(line.slice('minutely '.length)))
    expect(runs.filter(({ isPastDue }) => isPastDue)).toEqual([
      {
        schedule: { adjustForDST: true },
        scheduleStatus: { last: expect.any(String), next: expect.any(String), lastUpdated: expect.any(String) },
        isPastDue: true,
      },
    ])
  })

  test('that was not missed does not run at the start', async () => {
    const { said } = await start(['timers.mjs'], { ...minutely, dataDir: await missed(-1) })
    await sleep(200)
    expect(minutelyRuns(said())).toEqual([])
  })

  test('with a damaged status says so and counts from now', async () => {
    const dataDir = await missed(6)
    await writeFile(statusFile(dataDir), '{"last":')
    const { logs } = await start(['timers.mjs'], { ...minutely, dataDir })
    const [logged] = logs.filter(({ level }) => level === 'error')
    expect(logged?.message).toContain('minutely.json: expected the status of a timer, got {"last":; counting from now')
    const { last, next } = JSON.parse(await readFile(statusFile(dataDir), 'utf8'))
    expect([last, Date.parse(next) > Date.now()]).toEqual([null, true])
  })

  test('goes on after a failed run, and keeps no status when it fires every second', async () => {
    const { said, reports } = await start(['ticking.mjs'], { timers: 'scheduled' })
    await until('three ticks', () => reports.length >= 3)
    const ticks = said().map((line) => JSON.parse(line.slice('tick '.length)))
    expect(ticks[0]).toEqual({ schedule: { adjustForDST: true }, scheduleStatus: null, isPastDue: false })
    expect(reports.every(({ outcome }) => outcome === 'failure')).toBe(true)
  })

  test('does not run by itself in manual mode', async () => {
    const { said } = await start(['timers.mjs'], { dataDir: await missed(6) })
    await sleep(200)
    expect(said()).toEqual([])
  })
})

describe('a timer that is run by hand', () => {
  test('is awaited and told what it was asked to be told', async () => {
    const { host, said } = await start(['timers.mjs'])
    await host.invokeTimer('minutely', { isPastDue: true })
    expect(said()[0]).toContain('"isPastDue":true')
  })

  test('is tried again as its retry policy says', async () => {
    const { host, said } = await start(['timers.mjs'])
    await host.invokeTimer('stumbling')
    expect(said()).toEqual(['stumbling 0 of 2', 'stumbling 1 of 2', 'stumbling 2 of 2'])
  })

  test('rejects with what its handler threw', async () => {
    const { host, said } = await start(['timers.mjs'])
    await expect(host.invokeTimer('failing')).rejects.toThrow('failed')
    expect(said()).toEqual(['failing undefined'])
  })

  test('that does not exist is an error that names those that do', async () => {
    const { host } = await start(['timers.mjs'])
    await expect(host.invokeTimer('off')).rejects.toThrow(
      'timer off: expected one of minutely, stumbling, failing, got none of that name',
    )
  })
})
