import { describe, expect, test } from 'vitest'
import { runCli } from '../../jobs/cli/program.ts'
import { moveMetadata } from '../../shared/metadata/move.ts'
import { writeOutbox } from '../../shared/metadata/outbox/outbox.ts'
import { volume } from '../metadata/fact.ts'
import { useMetadataCommands } from './cli-metadata-bench.ts'

const WHY = ['--reason', 'because']
const NEVER = new AbortController().signal

const VERSION = {
  kind: 'freshness',
  version: '1.0',
  schema: { type: 'object', properties: { seconds: { type: 'integer' } }, required: ['seconds'] },
}

describe('operating the metadata platform from the command line', () => {
  const bench = useMetadataCommands()
  const table = (name: string) => ({ sourceId: 'alpaca', schema: 'bars', table: name })

  describe('rejects', () => {
    /** Numbers of what became a reject of these texts. */
    const reject = async (...texts: string[]) => {
      const { db } = bench.platform
      await db.transaction((tx) => writeOutbox(tx, { tenant: 'ours', texts, rejects: [] }))
      await moveMetadata(bench.platform, NEVER)
      const rows = await bench.query<{ id: number }>(
        `select reject_id as id from metadata.reject where state = 'open' order by 1`,
      )
      return rows.map(({ id }) => String(id))
    }

    test('list names what was wrong and what came; waive and replay take the ones that are named', async () => {
      const [one = '', other = ''] = await reject('{"kind":', '{}')
      const listed = await bench.run('rejects list')
      expect(listed.code).toBe(0)
      expect(listed.out).toMatch(
        new RegExp(`^${other} record-schema-invalid ours .+\\n  record.+\\n  \\{\\}\\n\\n${one} record-schema-invalid`),
      )
      expect((await bench.run('rejects waive', one, ...WHY)).out).toBe('1 waived\n')
      expect((await bench.run('rejects waive', one, ...WHY)).out).toBe('0 waived\n')
      expect((await bench.run('rejects list --all --json')).json()).toMatchObject([
        { state: 'open' },
        { state: 'waived' },
      ])
      expect((await bench.run('rejects replay --all', ...WHY)).out).toBe('1 given to the outbox again\n')
      expect((await bench.run('rejects list')).out).toBe('no rejects\n')
      expect(await bench.audited('%metadata_rejects%')).toEqual([
        'test waive_metadata_rejects all tenants because',
        'test replay_metadata_rejects all tenants because',
      ])
    })

    test.each([
      ['nothing that is named', []],
      ['numbers and a code', ['7', '--code', 'unknown-kind']],
      ['everything and a code', ['--all', '--code', 'unknown-kind']],
      ['a number that is none', ['seven']],
    ])('replay of %s is refused with exit code 2', async (_what, argv) => {
      expect((await bench.runWith({}, 'rejects', 'replay', ...argv, ...WHY)).code).toBe(2)
      expect((await bench.runWith({}, 'rejects', 'waive', ...argv, ...WHY)).code).toBe(2)
    })
  })

  describe('feed and consumers', () => {
    const emit = async (name: string, days: number, tenant = 'ours') =>
      bench.run(
        'emit',
        await bench.file(Array.from({ length: days }, (_, day) => volume(day, { target: table(name) }))),
        '--tenant',
        tenant,
      )
    type Tail = { records: { target: { table: string }; context: { runId: string } }[]; next: string }
    const runsOf = ({ records }: Tail) => records.map(({ context }) => context.runId).join(' ')
    /** A transaction of another test holds the feed of the whole server back for a moment. */
    const tail = async (expected: string, ...more: string[]) =>
      expect.poll(async () => runsOf((await bench.run('feed tail --json', ...more)).json() as Tail)).toBe(expected)

    test('tail shows the last records, and goes on behind them', async () => {
      await emit('fed', 4)
      await tail('run-2 run-3', '--last', '2')
      const { next } = (await bench.run('feed tail --json --last 2')).json() as Tail
      await emit('fed again', 1)
      await tail('run-0', '--after', next)
      await tail('', '--tenant', 'theirs')
      await tail('run-3 run-0', '--last', '2', '--all-tenants')
      await tail('', '--kind', 'schedule')
    })

    test('tail --follow tells what comes until it is stopped, and where to go on', async () => {
      await emit('followed', 1, 'followed')
      const stop = new AbortController()
      let out = ''
      let err = ''
      const streams = {
        out(text: string) {
          out += text
          if (out.split('\n').length === 3) stop.abort()
        },
        err: (text: string) => (err += text),
      }
      const argv = ['metadata', 'feed', 'tail', '--follow', '--last', '1', '--tenant', 'followed', '--json']
      const following = runCli(argv, { env: {}, streams, signal: stop.signal, platform: bench.platform })
      await emit('followed', 2, 'followed')
      expect(await following).toBe(143)
      const told = out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).target.table)
      expect(told).toEqual(['followed', 'followed'])
      expect(JSON.parse(err)).toMatchObject({ event: 'stopped', next: expect.any(String) })
    })

    test('consumers shows cursor, what is to be read and the lease; feed status who is behind', async () => {
      await moveMetadata(bench.platform, NEVER)
      await emit('behind', 3)
      const { out } = await bench.run('consumers')
      expect(out).toMatch(/^consumer +cursor +moved +to read +behind +epoch +lease\n/)
      await bench.query(
        `update metadata.consumer set lease_expires_at = now() + interval '1 hour' where consumer = 'log'`,
      )
      expect((await bench.run('consumers --json')).json()).toContainEqual(
        expect.objectContaining({ consumer: 'log', rows: 3, leasedUntil: expect.any(String), beginsAnew: false }),
      )
      await bench.query(`update metadata.consumer set lease_expires_at = null`)
      expect((await bench.run('feed status')).out).toMatch(/^generation .+\n(.+\n)+log is behind by 3 records/)
    })

    test('forget drops the cursor of a consumer, exit code 1 where there is none', async () => {
      await bench.query(
        `insert into metadata.consumer (consumer, generation, xid, seq) select 'gone', generation, '0', 0 from metadata.feed`,
      )
      expect(await bench.run('feed forget gone', ...WHY)).toMatchObject({ code: 0, out: 'gone forgotten\n' })
      expect((await bench.run('feed forget gone', ...WHY)).code).toBe(1)
      expect(await bench.audited('forget%')).toEqual(['test forget_metadata_consumer gone because'])
    })

    test('restart begins a new generation: old cursors are refused', async () => {
      const { next } = (await bench.run('feed tail --json')).json() as Tail
      const restarted = await bench.run('feed restart', ...WHY)
      expect(restarted.out).toMatch(/^generation [0-9a-f-]{36} begins; all cursors of before are refused\n$/)
      expect(await bench.run('feed tail --after', next)).toMatchObject({
        code: 1,
        err: expect.stringMatching(/^feed: expected a position of generation .+; go on from .+ of the log\n$/),
      })
      expect((await bench.run('consumers')).out).toContain('begins anew')
      expect(await bench.audited('restart%')).toEqual(['test restart_metadata_feed metadata.feed because'])
      expect((await bench.run('feed restart')).code).toBe(2)
    })
  })

  describe('kinds', () => {
    test('register, show, list: --dry-run writes nothing, the same again is there already', async () => {
      const path = await bench.file(JSON.stringify(VERSION))
      expect((await bench.run('kinds register --dry-run', path)).out).toBe('freshness 1.0 would be accepted\n')
      expect((await bench.run('kinds show freshness')).code).toBe(2)
      expect((await bench.run('kinds register', path)).out).toBe('freshness 1.0 is published\n')
      expect((await bench.run('kinds register', path)).out).toBe('freshness 1.0 was there already\n')
      expect((await bench.run('kinds list')).out).toMatch(/\nfreshness +others +1\.0\n$/)
      const shown = await bench.run('kinds show freshness 1.0 --json')
      expect(shown.json()).toMatchObject([{ ...VERSION, state: 'published', createdBy: 'test' }])
      expect(await bench.audited('register%')).toEqual(['test register_metadata_kind freshness 1.0'])
    })

    test('register of what earlier versions forbid exits 1 and lists the differences', async () => {
      await bench.run('kinds register', await bench.file(JSON.stringify({ ...VERSION, kind: 'age' })))
      const schema = { ...VERSION.schema, properties: { seconds: { type: 'string' } } }
      const path = await bench.file(JSON.stringify({ kind: 'age', version: '1.1', schema }))
      for (const dryRun of [[], ['--dry-run']]) {
        const ran = await bench.run('kinds register', path, ...dryRun)
        expect(ran.code).toBe(1)
        expect(ran.out).toMatch(/^not accepted: .+\n {2}never .+ at \/schema\/properties\/seconds.* \(from 1\.0\)\n/)
      }
    })

    test('a draft is published, and a version deprecated with a reason', async () => {
      const path = await bench.file(JSON.stringify({ ...VERSION, kind: 'delay', state: 'draft' }))
      expect((await bench.run('kinds register', path)).out).toBe('delay 1.0 is draft\n')
      expect((await bench.run('kinds publish delay 1.0')).out).toBe('delay 1.0 is published\n')
      const ran = await bench.run('kinds deprecate delay 1.0 --sunset 2999-01-31', ...WHY)
      expect(ran.out).toMatch(/^delay 1.0 is deprecated until 2999-01-31T00:00:00Z/)
      expect(await bench.audited('%delay%')).toEqual([
        'test register_metadata_kind delay 1.0',
        'test publish_metadata_kind delay 1.0',
        'test deprecate_metadata_kind delay 1.0 because',
      ])
    })

    test.each([
      ['a file that is none', '/nowhere.json', /kind file: expected to read/],
      ['a file that is no json', '{', /kind file: expected json/],
      ['a file without a version', '{"kind":"x","schema":{}}', /kind file\/version/],
      [
        'a schema with a keyword that is not listed',
        JSON.stringify({ ...VERSION, kind: 'x', schema: { $ref: '#' } }),
        /\/schema/,
      ],
      ['a kind of the platform', JSON.stringify({ ...VERSION, kind: 'schedule' }), /expected another name/],
    ])('%s is refused with exit code 2', async (_what, content, message) => {
      const { code, err } = await bench.run(
        'kinds register',
        content.startsWith('/') ? content : await bench.file(content),
      )
      expect(code).toBe(2)
      expect(err).toMatch(message)
    })
  })

  describe('tokens', () => {
    const create = async (...more: string[]) =>
      (await bench.run('tokens create --json --permission records:read', ...more)).json() as {
        tokenId: string
        token: string
      }

    test('create shows the token once; list never', async () => {
      const ran = await bench.run('tokens create --permission records:read feed:read --producer acme.etl --tenant acme')
      expect(ran.code).toBe(0)
      const [token = '', told] = ran.out.split('\n')
      expect(token).toMatch(/^trb_live_\w+$/)
      expect(told).toMatch(/^token \w{16} is good until .+; it is shown this once/)
      const listed = await bench.run('tokens list --tenant acme')
      expect(listed.out).toMatch(/\n\w{16} {2}feed:read records:read {2}acme.etl .+ never +test\n$/)
      expect(listed.out).not.toContain(token)
    })

    test('rotate makes another one and lets both be good for the overlap; revoke ends one', async () => {
      const { tokenId } = await create()
      const rotated = await bench.run('tokens rotate', tokenId, '--overlap', '2h')
      expect(rotated.out).toMatch(new RegExp(`^trb_live_\\w+\\ntoken .+\\n${tokenId} is good until `))
      expect(await bench.run('tokens rotate', tokenId)).toMatchObject({
        code: 2,
        err: expect.stringMatching(/was replaced by/),
      })
      expect((await bench.run('tokens revoke', tokenId)).out).toContain(`${tokenId} is revoked`)
      expect(await bench.audited(`%${tokenId}`)).toEqual([
        `test create_metadata_token ${tokenId}`,
        `test rotate_metadata_token ${tokenId}`,
        `test revoke_metadata_token ${tokenId}`,
      ])
    })

    test.each([
      ['a permission that there is not', ['create', '--permission', 'everything'], /permission: expected one of/],
      ['no permission', ['create'], /--permission/],
      [
        'an expiry that is past',
        ['create', '--permission', 'records:read', '--expires', '2020-01-01'],
        /expiry: expected/,
      ],
      ['a token of another tenant', ['revoke', '0000000000000000'], /expected one of the tenant, got none/],
      ['an overlap that is too long', ['rotate', '0000000000000000', '--overlap', '8d'], /of at most 7d/],
    ])('%s is refused with exit code 2', async (_what, argv, message) => {
      const { code, err } = await bench.runWith({}, 'tokens', ...argv)
      expect(code).toBe(2)
      expect(err).toMatch(message)
    })
  })

  test('principals are added to a tenant, listed and removed', async () => {
    const issuer = 'https://login.microsoftonline.com/d/v2.0'
    const added = await bench.run(`principals add oid-1 --issuer ${issuer} --producer acme.etl --tenant acme`)
    expect(added).toMatchObject({ code: 0, out: 'oid-1 is of acme\n' })
    expect(await bench.run(`principals add oid-1 --issuer ${issuer}`)).toMatchObject({
      code: 2,
      err: 'principal oid-1: expected one of no other tenant, got one of another\n',
    })
    expect((await bench.run('principals list --tenant acme --json')).json()).toMatchObject([
      { subject: 'oid-1', issuer, producers: ['acme.etl'] },
    ])
    const remove = () => bench.run(`principals remove oid-1 --issuer ${issuer} --tenant acme`)
    expect(await remove()).toMatchObject({ code: 0, out: 'oid-1 is of acme no more\n' })
    expect(await remove()).toMatchObject({ code: 1, out: 'oid-1: acme has no such identity\n' })
    expect(await bench.audited('%oid-1')).toEqual([
      'test add_metadata_principal oid-1',
      'test remove_metadata_principal oid-1',
    ])
  })
})
