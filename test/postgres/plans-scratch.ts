import pg from 'pg'
import { test } from 'vitest'
import { openDatabase } from '../../shared/postgres/database.ts'
import { migrate } from '../../shared/postgres/migrate.ts'
import { makePast } from './plans-past.ts'

test('seed', async () => {
  const name = process.env.N2_DB as string
  const url = new URL(process.env.N2_URL as string)
  const c = new pg.Client({ connectionString: url.href })
  await c.connect()
  await c.query(`create database ${name} template template0 encoding 'UTF8' locale 'C'`)
  await c.end()
  url.pathname = '/' + name
  await migrate({ kind: 'url', url: url.href })
  const db = openDatabase(
    { connection: { kind: 'url', url: url.href + '?statement_timeout=0' }, connectionsMax: 1, applicationName: 'seed' },
    async (op, run) => {
      const t = performance.now()
      try {
        return await run()
      } finally {
        process.stdout.write(`${op.subject} ${Math.round(performance.now() - t)} ms\n`)
      }
    },
  )
  await makePast(db, JSON.parse(process.env.N2_PAST as string))
  await db.close()
})
