import { expect, test } from 'vitest'
import type { Fault } from '../../jobs/local/providers/faults.ts'
import { readStatus } from '../../shared/ops/status.ts'
import { SOURCES } from '../../shared/sources/registry.ts'
import type { Workbench } from '../support/workbench.ts'
import { contentOf, ingestsOf, openAlerts, passTime, rawBlobs, statusesOf } from './source-fixtures.ts'
import type { SourceUnderTest, Suite } from './source-under-test.ts'

const PAGE_0 = 'page 0 of ingest …'

export function throttlingCases({ source, open, clean }: Suite): void {
  const published = { state: 'published', records: source.records, inserted: source.records }

  test('429 with a Retry-After that fits is waited for in place', async () => {
    const bench = await open({
      provider: { faults: [{ kind: 'throttle', retryAfter: '1' }] },
      bench: { limits: { waitMsMax: 10_000 } },
    })
    await bench.plan()
    expect(await bench.drain()).toEqual(['landed', 'published'])
    expect(statusesOf(bench)).toEqual([429, 200])
    expect(await ingestsOf(bench)).toEqual([{ ...published, epoch: 2 }])
  })

  test('429 with a longer Retry-After gives the attempt back, and nobody asks before the pause is over', async () => {
    const bench = await open({
      provider: { faults: [{ kind: 'throttle', retryAfter: '60' }] },
      bench: { streams: [source.stream, source.otherStream] },
    })
    await bench.plan()
    expect(await bench.drain()).toEqual(['given-back', 'given-back'])
    await bench.sweep()
    expect(await bench.drain()).toEqual([])
    expect(statusesOf(bench)).toEqual([429])
    const ingests = await ingestsOf(bench)
    expect(ingests.map(({ state, epoch }) => ({ state, epoch }))).toEqual([
      { state: 'planned', epoch: 1 },
      { state: 'planned', epoch: 1 },
    ])
    // Which of the two asked is the host's to choose.
    const errors = new Set(ingests.map(({ error }) => String(error).replace(/\d{5,}/, 'N')))
    expect(errors).toEqual(
      new Set([
        `ThrottledError: ${PAGE_0}: ${source.name} said to slow down (expected http 200, got 429: too many requests.), the next request may go in N ms`,
        `ThrottledError: ${PAGE_0}: no token left in the budget ${budgetKey(source)} for N ms`,
      ]),
    )
    expect(await waitsForBudget(bench)).toEqual([true, true])
    await passTime(bench)
    await bench.settle()
    const after = await ingestsOf(bench)
    expect(after.map(({ state, attempts, error }) => [state, attempts, error])).toEqual(
      Array(2).fill(['published', undefined, undefined]),
    )
  })

  test('429 without a Retry-After gives the attempt back too', async () => {
    const bench = await open({ provider: { faults: [{ kind: 'throttle' }] }, bench: { limits: { waitMsMax: 0 } } })
    await bench.plan()
    expect(await bench.drain()).toEqual(['given-back'])
    const [{ error, ...facts } = { state: 'none', error: '' }] = await ingestsOf(bench)
    expect(facts).toEqual({ state: 'planned', epoch: 1 })
    expect(error).toMatch(/^ThrottledError: page 0 of ingest …: .*expected http 200, got 429: too many requests\./)
    expect(await waitsForBudget(bench)).toEqual([true])
    await passTime(bench)
    await bench.settle()
    expect(await ingestsOf(bench)).toEqual([{ ...published, epoch: 3 }])
    expect(await contentOf(bench)).toEqual(clean())
  })

  test('429 hidden in HTTP 200 is one too, and the answer is kept', async () => {
    const [body, detail] = source.hidden.throttled
    const bench = await open({ provider: { faults: [{ kind: 'body', body }] }, bench: { limits: { waitMsMax: 0 } } })
    await bench.plan()
    expect(await bench.drain()).toEqual(['given-back'])
    const waiting = { state: 'planned', epoch: 1, error: `ThrottledError: ${PAGE_0}: ${detail}` }
    expect(await ingestsOf(bench)).toEqual([waiting])
    expect(await waitsForBudget(bench)).toEqual([true])
    expect((await rawBlobs(bench)).map((blob) => blob.body)).toEqual([body])
    await passTime(bench)
    await bench.settle()
    expect(await ingestsOf(bench)).toEqual([{ ...published, epoch: 3 }])
  })
}

/** Of each unfinished ingest: whether its next attempt comes once the budget is free again, and not before. */
async function waitsForBudget(bench: Workbench): Promise<readonly boolean[]> {
  const rows = await bench.query<{ waits: boolean }>(
    `select coalesce(i.next_attempt_at >= b.blocked_until, false) as waits
       from provenance.source_ingest i, ingest.rate_budget b where i.state = 'planned'`,
  )
  return rows.map(({ waits }) => waits)
}

function budgetKey({ name }: SourceUnderTest): string {
  return SOURCES.get(name)?.budget.key ?? 'none'
}

export function transitCases({ source, open, clean }: Suite): void {
  const { records } = source
  const published = { state: 'published', records, inserted: records }

  // No request more, or one, mends these within the same attempt.
  test.each<[string, readonly Fault[], readonly (number | null)[]]>([
    ['500, then a good answer', [{ kind: 'error', status: 500 }], [500, 200]],
    ['a body that ends before its length', [{ kind: 'truncate', keep: 0.5 }], [200, 200]],
    ['a connection that is reset', [{ kind: 'reset' }], [null, 200]],
    ['a plain body that says gzip', [{ kind: 'gzip-header-only' }], [200]],
    ['a gzip body that is cut', [{ kind: 'cut', keep: 0.5 }], [200, 200]],
    ['a gzip body that does not say so', [{ kind: 'gzip-body-only' }], [200]],
    ['another content type', [{ kind: 'content-type', value: 'text/html' }], [200]],
  ])('%s: the first attempt gets over it', async (_what, faults, statuses) => {
    const bench = await open({ provider: { faults } })
    await bench.plan()
    expect(await bench.drain()).toEqual(['landed', 'published'])
    expect(statusesOf(bench)).toEqual(statuses)
    expect(await ingestsOf(bench)).toEqual([{ ...published, epoch: 2 }])
    expect(await contentOf(bench)).toEqual(clean())
  })

  const [unavailableBody, unavailableDetail] = source.hidden.unavailable
  const thrice = (fault: Fault): readonly Fault[] => [fault, fault, fault]
  test.each<[string, readonly Fault[], string | RegExp, number]>([
    ['500 for longer than one attempt', thrice({ kind: 'error', status: 500 }), /: expected http 200, got 500/, 0],
    ['resets for longer than one attempt', thrice({ kind: 'reset' }), /: expected a whole answer, got ECONNRESET/, 0],
    ['a plain body that is cut', [{ kind: 'body', body: '{"records": [{' }], /, got json that was cut/, 1],
    ['an empty body', [{ kind: 'body', body: '' }], /: expected a json object, got an empty body \(.+, 0 bytes\)$/, 1],
    ['an outage hidden in HTTP 200', [{ kind: 'body', body: unavailableBody }], unavailableDetail, 1],
  ])('%s: a retry of the same ingest mends it', async (_what, faults, detail, kept) => {
    const bench = await open({ provider: { faults } })
    await bench.plan()
    expect(await bench.drain()).toEqual(['retry'])
    const [{ error, ...facts } = { state: 'none', error: '' }] = await ingestsOf(bench)
    expect(facts).toEqual({ state: 'planned', epoch: 1, attempts: 1 })
    expect(error).toMatch(/^TransientError: /)
    expect(error).toMatch(detail)
    expect(await rawBlobs(bench)).toHaveLength(kept)
    await bench.settle()
    expect(await ingestsOf(bench)).toEqual([{ ...published, epoch: 3 }])
    expect(await contentOf(bench)).toEqual(clean())
  })
}

/** Bodies that no source can take for a page, and what came. */
const NO_OBJECTS: readonly (readonly [body: string, came: string])[] = [
  ['null', 'null (application/json; charset=UTF-8, 4 bytes)'],
  ['42', 'a number (application/json; charset=UTF-8, 2 bytes)'],
  ['"ok"', 'a string (application/json; charset=UTF-8, 4 bytes)'],
  ['OK', 'text (application/json; charset=UTF-8, 2 bytes): OK'],
  ['{"a":NaN}', 'malformed json (application/json; charset=UTF-8, 9 bytes): {"a":NaN}'],
]

export function foreignBodyCases({ source, open }: Suite): void {
  const cases: readonly (readonly [what: string, fault: Fault, detail: string | RegExp])[] = [
    ['HTML instead of JSON', { kind: 'html' }, /: expected a json object, got html \(text\/html, \d+ bytes\)$/],
    ...NO_OBJECTS.map(([body, came]) => {
      const detail = `${PAGE_0}: expected a json object, got ${came}`
      return [`the body ${body}`, { kind: 'body', body }, detail] as const
    }),
    ...source.noPages.map(([body, detail]) => [body, { kind: 'body', body }, `${PAGE_0}: ${detail}`] as const),
  ]
  test.each(cases)(
    '%s is quarantined with what came, kept, and nothing of it is curated',
    async (_what, fault, detail) => {
      const bench = await open({ provider: { faults: [fault] } })
      await bench.plan()
      expect(await bench.drain()).toEqual(['quarantined'])
      const [{ error, ...facts } = { state: 'none', error: '' }] = await ingestsOf(bench)
      expect(facts).toEqual({ state: 'quarantined', epoch: 1, attempts: 1 })
      expect(error).toMatch(/^ContractError: /)
      expect(error).toMatch(detail)
      const [kept] = await rawBlobs(bench)
      if (fault.kind === 'body') expect(kept?.body).toBe(fault.body)
      else expect(kept?.body).toMatch(/^<!DOCTYPE html>/)
      expect(await contentOf(bench)).toEqual({ partitions: {}, fetched: ['{}'], published: ['{}'] })
    },
  )

  test('a quarantined window is a hole that is shown and alerted, and the window after it goes on', async () => {
    const bench = await open({ provider: { faults: [{ kind: 'html' }] } })
    await bench.plan()
    await bench.drain()
    await bench.writeStreams([{ ...source.stream, until: source.nextUntil }])
    await bench.settle()
    const states = (await ingestsOf(bench)).map(({ state }) => state)
    expect(states).toEqual(['quarantined', 'published'])
    const [stream] = (await readStatus(bench.platform.db)).streams
    const { origin, until } = source.stream
    expect(stream?.checkpoint).toBe(`${origin}T00:00:00Z`)
    expect(stream?.published).toEqual([{ lo: `${until}T00:00:00Z`, hi: `${source.nextUntil}T00:00:00Z` }])
    expect(stream?.holes).toMatchObject([
      { lo: `${origin}T00:00:00Z`, hi: `${until}T00:00:00Z`, reason: expect.stringMatching(/^quarantined: page 0/) },
    ])
    expect(await openAlerts(bench)).toContain(`quarantine ${stream?.stream}`)
  })
}
