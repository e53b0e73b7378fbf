import { beforeEach, describe, expect, test } from 'vitest'
import { markLanded } from '../../shared/ingest/land/landed.ts'
import { breakLease } from '../../shared/ingest/state/break-lease.ts'
import { claimToLand } from '../../shared/ingest/state/claim.ts'
import { holdLease } from '../../shared/ingest/state/lease.ts'
import { readIngests } from '../../shared/ingest/state/unpublished.ts'
import { sweep } from '../../shared/ingest/sweep.ts'
import { requestOf, useGround } from './ground.ts'

const BY = { actor: 'ada', reason: 'its host is gone' }

describe('a lease that a person breaks', () => {
  const ground = useGround({ TRIBUTARY_LEASE_SECONDS: '3' })
  beforeEach(() => ground.clear())
  const breakOf = async (id: string) => {
    const [ingest] = await readIngests(ground.platform.db, [id])
    if (ingest === undefined) throw new Error(`ingest ${id}: expected it, got none`)
    return breakLease(ground.platform.db, { ingest, ...BY })
  }
  const claimed = async () => {
    const id = await ground.ingest(await ground.stream())
    const claim = await claimToLand(ground.platform.db, requestOf(ground.platform, id))
    if (claim === null) throw new Error('expected a claim, got none')
    return { id, claim }
  }

  test('is taken over by the next sweep, and another worker may claim the ingest', async () => {
    const { id } = await claimed()
    await breakOf(id)
    expect(await sweep(ground.platform)).toMatchObject({ takenOver: 1 })
    expect(await ground.ingestRow(id)).toMatchObject({ state: 'planned', claimed_by: null })
    await ground.query('update provenance.source_ingest set next_attempt_at = null')
    expect((await claimToLand(ground.platform.db, requestOf(ground.platform, id)))?.epoch).toBe(3)
  })

  test('ends a worker that lives: it can land nothing, and its next renewal tells it so', async () => {
    const { id, claim } = await claimed()
    await ground.page({ id, epoch: claim.epoch })
    const { db, log } = ground.platform
    const lease = holdLease({ db, claim, leaseSeconds: 3, stop: new AbortController().signal, log })
    try {
      await breakOf(id)
      await expect(markLanded(db, claim)).rejects.toThrow(/another worker holds it or it is done/)
      await new Promise((resolve) => lease.signal.addEventListener('abort', resolve))
      expect(lease.signal.reason).toMatchObject({ name: 'LeaseLostError' })
      const [row] = await ground.query('select lease_expires_at < now() as expired from provenance.source_ingest')
      expect(row).toEqual({ expired: true })
    } finally {
      lease.end()
    }
  })

  test('says in the audit whose it was, who and why, once', async () => {
    const { id } = await claimed()
    expect(await breakOf(id)).toMatchObject({ changed: true, epoch: 2, claimedBy: ground.platform.worker })
    expect(await breakOf(id)).toMatchObject({ changed: false, epoch: 2 })
    expect(await ground.query('select actor, action, subject, before, after from ops.audit')).toEqual([
      {
        actor: 'ada',
        action: 'break_lease',
        subject: id,
        before: { claimedBy: ground.platform.worker, epoch: 1, leaseExpiresAt: expect.stringMatching(/^\d{4}-.*Z$/) },
        after: { reason: 'its host is gone', epoch: 2 },
      },
    ])
  })

  test('is refused where nobody holds one', async () => {
    const id = await ground.ingest(await ground.stream())
    await expect(breakOf(id)).rejects.toThrow(
      `lease of ingest ${id}: expected a worker that holds it (landing or curating), got planned; tributary lease list shows those that are held`,
    )
  })
})
