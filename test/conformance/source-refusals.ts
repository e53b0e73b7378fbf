import { expect, test } from 'vitest'
import type { Fault } from '../../jobs/local/providers/faults.ts'
import { readStatus } from '../../shared/ops/status.ts'
import { contentOf, ingestsOf, openAlerts, QUICK, statusesOf } from './source-fixtures.ts'
import type { Suite } from './source-under-test.ts'

const PAGE_0 = 'page 0 of ingest …'

export function credentialCases({ source, open, newServices, clean }: Suite): void {
  const [hiddenBody, hiddenDetail] = source.hidden.auth
  test('an error of the credential hidden in HTTP 200 pauses the stream', async () => {
    const bench = await open({ provider: { faults: [{ kind: 'body', body: hiddenBody }] } })
    await bench.plan()
    expect(await bench.drain()).toEqual(['given-back'])
    const waiting = { state: 'planned', epoch: 1, error: `AuthError: ${PAGE_0}: ${hiddenDetail}` }
    expect(await ingestsOf(bench)).toEqual([waiting])
    expect((await bench.query<{ paused: boolean }>('select paused from ingest.stream'))[0]?.paused).toBe(true)
  })

  test('an expired credential pauses the stream with the reason, and the stream goes on when it is mended', async () => {
    const services = await newServices()
    const provider = { checksCredentials: true }
    const bench = await open({ provider, services, bench: { env: source.wrongCredentials } })
    await bench.plan()
    expect(await bench.drain()).toEqual(['given-back'])
    // A paused stream asks nobody, whatever ticks.
    await bench.plan()
    await bench.sweep()
    expect(await bench.drain()).toEqual([])
    expect(statusesOf(bench)).toHaveLength(1)
    const [waiting = { state: 'none' }] = await ingestsOf(bench)
    expect(waiting).toEqual({
      state: 'planned',
      epoch: 1,
      error: expect.stringMatching(/^AuthError: page 0 of ingest …: expected http 200, got 40[013]/),
    })
    const [stream] = (await readStatus(bench.platform.db)).streams
    expect(stream?.pausedReason).toMatch(/^auth: page 0 of ingest .*: expected http 200, got 40[013]/)
    expect(await openAlerts(bench)).toContain(`auth ${stream?.stream}`)

    const mended = await open({ provider, services })
    await mended.query('update ingest.stream set paused = false, paused_reason = null')
    await mended.settle()
    await mended.sweep()
    const published = { state: 'published', epoch: 3, records: source.records, inserted: source.records }
    expect(await ingestsOf(mended)).toEqual([published])
    expect(await openAlerts(mended)).not.toContain(`auth ${stream?.stream}`)
    expect(await contentOf(mended)).toEqual(clean())
  })
}

export function silenceCases({ source, open, newServices, clean }: Suite): void {
  const stalled: Fault = { kind: 'stall' }

  test('a provider that takes requests and does not answer: a retry once the tries are used up', async () => {
    const http = { ...QUICK, timeoutMs: 250, triesMax: 2 }
    const bench = await open({ provider: { faults: [stalled, stalled] }, bench: { http } })
    await bench.plan()
    expect(await bench.drain()).toEqual(['retry'])
    const error = expect.stringMatching(
      /^TransientError: .*: expected a whole answer within 250 ms, got none \(try 2 of 2\)$/,
    )
    expect(await ingestsOf(bench)).toEqual([{ state: 'planned', epoch: 1, attempts: 1, error }])
  })

  test('a window that is not there by the deadline is split, and its halves are all of it', async () => {
    const services = await newServices()
    const provider = { faults: () => stalled }
    const hasty = await open({ provider, services, bench: { limits: { deadlineMs: 250 } } })
    await hasty.plan()
    expect(await hasty.drain()).toEqual(['split'])
    const patient = await open({ services })
    await patient.settle()
    const [parent, ...halves] = [...(await ingestsOf(patient))].sort((a, b) => (a.state < b.state ? -1 : 1))
    expect(parent).toEqual({
      state: 'cancelled',
      epoch: 1,
      attempts: 1,
      error: 'split: expected to be fetched within 250 ms',
    })
    expect(halves.map(({ state }) => state)).toEqual(['published', 'published'])
    expect(halves.reduce((sum, { inserted }) => sum + Number(inserted), 0)).toBe(source.records)
    expect(await contentOf(patient)).toEqual(clean())
  })
}
