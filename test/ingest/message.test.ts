import fc from 'fast-check'
import { beforeEach, describe, expect, test } from 'vitest'
import { formatMessage, parseMessage } from '../../shared/ingest/message.ts'
import { curate, land, reportPoison } from '../../shared/ingest/work.ts'
import { useGround } from './ground.ts'

const ID = '0192f5a0-1111-7222-8333-444455556666'
const EXPECTED = 'message: expected {"v":1,"sourceIngestId":"<uuid>"}'

const BAD: readonly (readonly [body: unknown, problem: string])[] = [
  ['hello', `${EXPECTED}, got hello`],
  ['', `${EXPECTED}, got `],
  [null, `${EXPECTED}, got null`],
  [undefined, `${EXPECTED}, got undefined`],
  [7, `${EXPECTED}, got 7`],
  [[ID], `${EXPECTED}, got ["${ID}"]`],
  [{}, `${EXPECTED}, got {}`],
  [{ v: 1 }, `${EXPECTED}, got {"v":1}`],
  [{ sourceIngestId: ID }, `${EXPECTED}, got {"sourceIngestId":"${ID}"}`],
  [{ v: 1, sourceIngestId: 'x' }, `${EXPECTED}, got {"v":1,"sourceIngestId":"x"}`],
  [{ v: 1, sourceIngestId: ID, more: 1 }, `${EXPECTED}, got {"v":1,"sourceIngestId":"${ID}","more":1}`],
  [{ v: 2, sourceIngestId: ID }, 'message: expected version 1, got 2'],
  [{ v: '1', sourceIngestId: ID }, 'message: expected version 1, got "1"'],
  [JSON.stringify({ v: 1, sourceIngestId: ID }), `${EXPECTED}, got {"v":1,"sourceIngestId":"${ID}"}`],
]

describe('a message', () => {
  const ground = useGround()
  beforeEach(() => ground.clear())
  const limits = { stop: new AbortController().signal, deadlineMs: 1_000, waitMsMax: 0 }

  test('is read back as it was written', () => {
    expect(parseMessage(JSON.parse(formatMessage(ID)))).toEqual({ ok: true, sourceIngestId: ID })
  })

  test('may spell its id in upper case', () => {
    expect(parseMessage({ v: 1, sourceIngestId: ID.toUpperCase() })).toEqual({ ok: true, sourceIngestId: ID })
  })

  test.each(BAD)('that is none is refused by what it is: %j', (body, problem) => {
    expect(parseMessage(body)).toEqual({ ok: false, problem })
  })

  test('of any kind at all is either read or refused in one short sentence', () => {
    fc.assert(
      fc.property(fc.anything(), (body) => {
        const parsed = parseMessage(body)
        if (!parsed.ok) expect(parsed.problem.length).toBeLessThan(300)
      }),
    )
  })

  test('that is none is acknowledged, logged, and opens one alert per queue', async () => {
    expect(await land(ground.platform, 'hello', limits)).toBe('bad-message')
    expect(await land(ground.platform, 'again', limits)).toBe('bad-message')
    expect(await curate(ground.platform, { v: 3 }, limits)).toBe('bad-message')
    expect(await ground.query('select kind, subject, detail from ops.alert order by subject')).toEqual([
      { kind: 'bad_message', subject: 'curate', detail: { problem: 'message: expected version 1, got 3' } },
      { kind: 'bad_message', subject: 'land', detail: { problem: `${EXPECTED}, got again` } },
    ])
    expect(ground.logged.filter(({ event }) => event === 'bad_message')).toHaveLength(3)
  })

  test('of an ingest that this database does not have is a bad message', async () => {
    expect(await land(ground.platform, { v: 1, sourceIngestId: ID }, limits)).toBe('bad-message')
    expect(await ground.query('select detail from ops.alert')).toEqual([
      { detail: { problem: `message: expected an ingest of this database, got ${ID}` } },
    ])
  })

  test('of an ingest that is done is acknowledged and changes nothing', async () => {
    const id = await ground.ingest(await ground.stream(), { state: 'published' })
    const before = await ground.everything()
    expect(await land(ground.platform, { v: 1, sourceIngestId: id }, limits)).toBe('refused')
    expect(await curate(ground.platform, { v: 1, sourceIngestId: id }, limits)).toBe('refused')
    expect(await ground.everything()).toEqual(before)
  })

  test('that the host gave up on opens an alert and changes no ingest', async () => {
    const id = await ground.ingest(await ground.stream())
    const before = await ground.ingestRow(id)
    await reportPoison(ground.platform, 'land', { v: 1, sourceIngestId: id })
    expect(await ground.ingestRow(id)).toEqual(before)
    expect(await ground.query('select kind, severity, subject, detail from ops.alert')).toEqual([
      { kind: 'poison_message', severity: 'critical', subject: 'land', detail: { source_ingest_id: id } },
    ])
  })
})
