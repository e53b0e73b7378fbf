import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseSettings } from '../../shared/config/settings.ts'
import { ConfigError, PermanentError } from '../../shared/errors.ts'
import { parseMessage } from '../../shared/ingest/message.ts'
import { checkSeenFile, fileVersionOf, formatFileVersion } from '../../shared/ingest/plan/file-version.ts'
import { parseStreamFile } from '../../shared/ingest/plan/stream-file.ts'
import type { Claim } from '../../shared/ingest/state/claim.ts'
import { formatInstant } from '../../shared/instant.ts'
import { SOURCES } from '../../shared/sources/registry.ts'

const RUNS = { numRuns: 3_000 }
const INSTANT_MIN = -719_528n * 86_400_000_000n
const INSTANT_MAX = 2_932_897n * 86_400_000_000n - 1n

/** Text of every kind: halves of characters, control characters, and what looks like what is expected. */
const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: fc.constantFrom('\ud800', '\udc00', '\u0000', '/', '.', '\\', '%', '"', 'a', 'Å', '😀') }),
  fc.constantFrom('', '0', '1d', '15m', '99999999d', '2020-01-01', '0000-01-01', '2020-01-01T00:00:00Z', '__proto__'),
  fc.constantFrom('alpaca', 'fred', 'massive', 'bars', 'observations', 'TSLA', 'I:NDX', 'DGS10'),
)
const anyJson = fc.oneof({ weight: 3, arbitrary: text }, fc.jsonValue())

const DEEP = `${'['.repeat(100_000)}${']'.repeat(100_000)}`

/** `good` with some of its parts replaced, taken out, or added to. */
function spoiled(good: Readonly<Record<string, unknown>>): fc.Arbitrary<Readonly<Record<string, unknown>>> {
  const key = fc.oneof({ weight: 5, arbitrary: fc.constantFrom(...Object.keys(good)) }, text)
  return fc.array(fc.tuple(key, fc.oneof(anyJson, fc.constant(undefined))), { maxLength: 3 }).map((changes) => {
    const entries = new Map(Object.entries(good))
    for (const [name, value] of changes) value === undefined ? entries.delete(name) : entries.set(name, value)
    return Object.fromEntries(entries)
  })
}

/** What `work` gives, or null where it throws what is documented; anything else that it throws fails the test. */
function unlessRefused<T>(error: typeof ConfigError | typeof PermanentError, work: () => T): T | null {
  try {
    return work()
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(error)
    expect((thrown as Error).message).not.toMatch(/undefined: |\[object|Maximum call stack/)
    return null
  }
}

/** An ingest of a file with these parameters. */
function claimOf(parameters: unknown): Claim {
  const of = { streamId: 1, lane: 'import', source: 'ledger', dataset: 'observations', subject: 'A', timeframe: null }
  const when = { lo: null, hi: null, claimedAt: 0n, retentionS: null }
  return { sourceIngestId: '0192f5a0', epoch: 1, ...of, ...when, params: {}, parameters }
}

describe('I8 bad input is loud, and nothing but what is documented is thrown', () => {
  test('a message of any kind is a message or one sentence', () => {
    const id = '0192f5a0-1111-7222-8333-444455556666'
    fc.assert(
      fc.property(fc.oneof(fc.anything({ withBigInt: true }), spoiled({ v: 1, sourceIngestId: id })), (body) => {
        const parsed = parseMessage(body)
        if (parsed.ok) expect(parsed.sourceIngestId).toMatch(/^[0-9a-f-]{36}$/)
        else expect(parsed.problem).toMatch(/^message: expected .{1,280}$/su)
      }),
      RUNS,
    )
  })

  test('a streams file of any text or JSON is streams or a ConfigError', () => {
    const good = { source: 'alpaca', dataset: 'bars', origin: '2016-01-04', every: '15m' }
    const params = { symbol: 'TSLA', timeframe: '1d', feed: 'iex', subject: 'T' }
    const more = { until: '2020-01-01', lookback: '7d', lookbackEvery: '1d', retention: '365d', settleLag: '1h' }
    const stream = fc
      .tuple(spoiled({ ...good, ...more }), fc.oneof({ weight: 4, arbitrary: spoiled(params) }, anyJson))
      .map(([entry, params]) => ({ params, ...entry }))
    const file = fc.oneof(
      { weight: 6, arbitrary: fc.array(stream, { maxLength: 3 }).map((streams) => ({ streams })) },
      anyJson,
      spoiled({ streams: [] }),
    )
    let read = 0
    const readable = (content: string) => {
      const streams = unlessRefused(ConfigError, () => parseStreamFile(content, SOURCES))
      for (const { paramsKey, subject, origin, retentionS } of streams ?? []) {
        // What the database is given: text that it takes, seconds that fit, an instant that it can write.
        expect(`${paramsKey}${subject}`).not.toContain('\u0000')
        expect(`${paramsKey}${subject}`.isWellFormed()).toBe(true)
        expect(formatInstant(origin) >= '0001-01-01').toBe(true)
        expect(retentionS === null || retentionS < 2 ** 31).toBe(true)
      }
      if ((streams ?? []).length > 0) read++
    }
    fc.assert(
      fc.property(file, (value) => readable(JSON.stringify(value))),
      RUNS,
    )
    expect(read).toBeGreaterThan(50)
    const cut = JSON.stringify({ streams: [{ ...good, params }] })
    fc.assert(
      fc.property(
        fc.oneof(
          text,
          fc.nat(cut.length).map((end) => cut.slice(0, end)),
        ),
        readable,
      ),
      RUNS,
    )
  })

  test('JSON that is nested deeper than any stack is refused in any place like other JSON', () => {
    const params = { symbol: '"TSLA"', timeframe: '"1d"' }
    const stream = { source: '"alpaca"', dataset: '"bars"', origin: '"2016-01-04"', every: '"15m"' }
    const spell = (parts: object) => `{${Object.entries(parts).map(([name, json]) => `"${name}":${json}`)}}`
    for (const name of [...Object.keys(stream), 'params', 'until', 'other']) {
      const json = spell({ streams: `[${spell({ ...stream, params: spell(params), [name]: DEEP })}]` })
      expect(unlessRefused(ConfigError, () => parseStreamFile(json, SOURCES))).toBeNull()
    }
    for (const name of [...Object.keys(params), 'subject', 'other']) {
      const json = spell({ streams: `[${spell({ ...stream, params: spell({ ...params, [name]: DEEP }) })}]` })
      expect(unlessRefused(ConfigError, () => parseStreamFile(json, SOURCES))).toBeNull()
    }
    expect(unlessRefused(ConfigError, () => parseStreamFile(DEEP, SOURCES))).toBeNull()
    expect(parseMessage(JSON.parse(DEEP))).toMatchObject({ ok: false })
    expect(parseMessage({ v: JSON.parse(DEEP) })).toMatchObject({ ok: false })
    expect(unlessRefused(PermanentError, () => fileVersionOf(claimOf(JSON.parse(DEEP))))).toBeNull()
  })

  test('the parameters of a file ingest are a version of a file or a PermanentError', () => {
    const good = {
      name: 'books/2020.csv',
      version: 1,
      etag: '"0x8"',
      sha256: 'a'.repeat(64),
      bytes: 10,
      modifiedAt: '2020-01-01T00:00:00Z',
    }
    let read = 0
    fc.assert(
      fc.property(fc.oneof({ weight: 4, arbitrary: spoiled(good) }, anyJson), (parameters) => {
        const file = unlessRefused(PermanentError, () => fileVersionOf(claimOf(parameters)))
        if (file === null) return
        read++
        // Whatever is read back could have been planned, and is written as it was.
        expect(() => checkSeenFile(file)).not.toThrow()
        expect(fileVersionOf(claimOf(JSON.parse(formatFileVersion(file))))).toEqual(file)
      }),
      RUNS,
    )
    expect(read).toBeGreaterThan(300)
  })

  test('a file with any name and change time is one that storage and PostgreSQL can name, or a ConfigError', () => {
    const modifiedAt = fc.bigInt({ min: 2n * INSTANT_MIN, max: 2n * INSTANT_MAX })
    fc.assert(
      fc.property(
        fc.oneof(text, fc.string({ unit: 'binary', minLength: 900, maxLength: 1_100 })),
        modifiedAt,
        (name, at) => {
          const file = { name, etag: 'e', sha256: 'a'.repeat(64), bytes: 1, modifiedAt: at }
          if (unlessRefused(ConfigError, () => checkSeenFile(file) ?? file) === null) return
          const { pathname } = new URL(`https://lake.test/landing/${name.split('/').map(encodeURIComponent).join('/')}`)
          expect(decodeURIComponent(pathname)).toBe(`/landing/${name}`)
          expect(encodeURIComponent(name).length).toBeLessThan(7_000)
          expect(formatInstant(at) >= '0001-01-01').toBe(true)
        },
      ),
      RUNS,
    )
  })

  test('settings of any text are settings or a ConfigError with a sentence for each problem', () => {
    const good = {
      DATABASE_URL: 'postgres://me:secret@db:5432/tributary',
      AzureWebJobsStorage: 'UseDevelopmentStorage=true',
    }
    const name = fc.constantFrom(
      ...Object.keys(good),
      ...['AzureWebJobsStorage__blobServiceUri', 'AzureWebJobsStorage__queueServiceUri', 'LAKE_STORAGE'],
      ...['LAKE_STORAGE__blobServiceUri', 'PGHOST', 'PGDATABASE', 'PGUSER', 'PGPORT', 'PGSSLMODE'],
      ...['TRIBUTARY_LEASE_SECONDS', 'TRIBUTARY_QUARANTINE_ATTEMPTS', 'TRIBUTARY_QUARANTINE_SECONDS'],
      ...['TRIBUTARY_LOG_LEVEL', 'TRIBUTARY_ALERT_WEBHOOK_URL', 'TRIBUTARY_STREAMS', 'ALPACA_SECRET_KEY'],
    )
    const value = fc.oneof(
      text,
      fc.constantFrom('https://a.blob.core.windows.net', '60', '1e3', '-1', 'postgres://%@x', 'postgres://', 'info'),
      fc.constantFrom('AccountName=a;AccountKey=b', 'BlobEndpoint=x', 'BlobEndpoint=https://a;SharedAccessSignature=s'),
      fc.constantFrom('@Microsoft.KeyVault(x)', 'https://', 'file:///x'),
    )
    let read = 0
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value), { maxLength: 4 }), (changes) => {
        const env = { ...good, ...Object.fromEntries(changes) }
        const settings = unlessRefused(ConfigError, () => parseSettings(env))
        if (settings === null) return
        read++
        expect(Number.isInteger(settings.leaseSeconds)).toBe(true)
      }),
      RUNS,
    )
    expect(read).toBeGreaterThan(300)
  })
})
