import { afterEach, describe, expect, test } from 'vitest'
import type { Worked } from '../../shared/ingest/work.ts'
import type { IoOperation } from '../../shared/io-hook.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { lakeState, readLake } from '../support/lake-state.ts'
import { createPause } from '../support/pause.ts'
import { filesUnlikeTheirRaw } from '../support/rebuilt-files.ts'
import { openWorkbench, type Workbench } from '../support/workbench.ts'

const statement = (name: string) => (operation: IoOperation) => operation.subject === name

// Everything that a worker changes, in the order in which it does.
const MOMENTS: readonly (readonly [what: string, queue: 'land' | 'curate', (operation: IoOperation) => boolean])[] = [
  ['stores a raw page', 'land', ({ action, subject }) => action === 'put' && subject.startsWith('raw/')],
  ['records a raw page', 'land', statement('insert_raw_page')],
  ['lands', 'land', statement('land_ingest')],
  ['gives a landing back', 'land', statement('give_back_ingest')],
  ['is listed for a partition', 'curate', statement('list_in_partition')],
  ['writes a curated file', 'curate', ({ action, subject }) => action === 'put' && subject.startsWith('curated/')],
  ['publishes', 'curate', statement('publish_ingest')],
  ['fails a curation', 'curate', statement('fail_ingest')],
]

describe('I5 no zombie wins', () => {
  const environment = useTestEnvironment()
  const opened: Workbench[] = []
  afterEach(async () => {
    for (const bench of opened.splice(0)) await bench.close()
  })

  test.each(MOMENTS)(
    'a worker that wakes as it %s, after another has published, changes no state and no row',
    async (what, queue, matches) => {
      const services = {
        databaseUrl: await environment.newDatabase(),
        storageConnectionString: environment.newStorageAccount(),
      }
      const pause = createPause(matches)
      const zombie = await openWorkbench({ ...services, hook: pause.hook, simulator: troubleFor(what) })
      const successor = await openWorkbench(services)
      opened.push(zombie, successor)

      const planned = (await zombie.plan()).planned
      expect(planned).toHaveLength(1)
      const message = { v: 1, sourceIngestId: planned[0] }
      if (queue === 'curate') {
        expect(await zombie.land(message)).toBe('landed')
        if (what === 'fails a curation') await breakRaw(successor)
      }
      pause.arm()
      const sleeping: Promise<Worked> = zombie[queue](message)
      await pause.reached

      await successor.query(`update provenance.source_ingest set lease_expires_at = now() - interval '1 second'`)
      await mend(successor)
      await successor.settle()
      const state = await lakeState(successor.platform)
      const files = await filesOf(successor)
      expect(state.unfinished).toBe(0)
      expect(state.records).toBe(500)

      pause.resume()
      expect(await sleeping).toBe('lease-lost')
      expect(await lakeState(successor.platform)).toEqual(state)
      expect(await filesOf(successor)).toEqual(files)
      expect(await readLake(successor.platform)).toEqual({ rows: 500, duplicateKeys: 0, wrongHashes: [] })
    },
  )

  test.each(MOMENTS)(
    'a worker that wakes as it %s, while another holds the ingest in the same state, changes no row',
    async (what, queue, matches) => {
      const services = {
        databaseUrl: await environment.newDatabase(),
        storageConnectionString: environment.newStorageAccount(),
      }
      const pause = createPause(matches)
      const afterClaim = createPause(
        ({ client, action }) => client === (queue === 'land' ? 'http' : 'blob') && action === 'get',
      )
      const zombie = await openWorkbench({ ...services, hook: pause.hook, simulator: troubleFor(what) })
      const successor = await openWorkbench({ ...services, hook: afterClaim.hook })
      opened.push(zombie, successor)

      const message = { v: 1, sourceIngestId: (await zombie.plan()).planned[0] }
      if (queue === 'curate') {
        await zombie.land(message)
        if (what === 'fails a curation') await breakRaw(successor)
      }
      pause.arm()
      const sleeping: Promise<Worked> = zombie[queue](message)
      await pause.reached

      await successor.query(`update provenance.source_ingest set lease_expires_at = now() - interval '1 second'`)
      await mend(successor)
      await successor.sweep()
      afterClaim.arm()
      const working: Promise<Worked> = successor[queue](message)
      await afterClaim.reached
      const rows = await rowsOf(successor)

      pause.resume()
      expect(await sleeping).toBe('lease-lost')
      expect(await rowsOf(successor)).toEqual(rows)

      afterClaim.resume()
      expect(await working).toBe(queue === 'land' ? 'landed' : 'published')
      await successor.settle()
      expect(await readLake(successor.platform)).toEqual({ rows: 500, duplicateKeys: 0, wrongHashes: [] })
      expect(await filesUnlikeTheirRaw(successor.platform)).toEqual([])
    },
  )
})

/** The zombie's own provider asks for a longer pause than it may wait. */
function troubleFor(what: string) {
  return what === 'gives a landing back' ? { faults: [{ kind: 'throttle' as const, retryAfter: '60' }] } : {}
}

async function breakRaw({ query }: Workbench): Promise<void> {
  await query(`update provenance.raw_page set sha256 = 'broken ' || sha256`)
}

async function mend({ query }: Workbench): Promise<void> {
  await query(`update provenance.raw_page set sha256 = replace(sha256, 'broken ', '')`)
  await query(`update ingest.rate_budget set blocked_until = null`)
}

/** ETags too: a PUT of equal bytes would show. */
async function filesOf({ platform }: Workbench): Promise<readonly string[]> {
  const files: string[] = []
  for await (const { path, etag } of platform.curated.list('')) files.push(`${path} ${etag}`)
  return files
}

/** Every row that an ingest's worker may write. */
async function rowsOf({ query }: Workbench): Promise<readonly unknown[]> {
  const tables = [
    'provenance.source_ingest',
    'provenance.raw_page',
    'provenance.reject',
    'ingest.stream',
    'curated.partition',
    'curated.partition_ingest',
  ]
  const rows: unknown[] = []
  for (const table of tables) rows.push(await query(`select '${table}' as table, t.* from ${table} t order by t::text`))
  return rows
}
