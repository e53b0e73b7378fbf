import { sendHints } from './plan.ts'
import { io, type Process, read } from './process.ts'
import { returnToDurable } from './statements.ts'
import type { World } from './world.ts'

/** Takes over expired leases and sends what is due. */
export function* sweep(world: World): Process {
  yield* io('take over expired leases', () => {
    if (world.without === 'expired leases are taken over') return
    for (const ingest of world.postgres.ingests) {
      if ((ingest.state === 'landing' || ingest.state === 'curating') && ingest.leaseExpired) returnToDurable(ingest)
    }
  })
  const due = yield* read('read what is due', () =>
    world.postgres.ingests
      .filter(({ state }) => state === 'planned' || state === 'landed')
      .filter(({ waiting, queued }) => !waiting && (queued === 'no' || isStale(world, queued)))
      .map(({ id }) => id),
  )
  yield* sendHints(world, due)
}

function isStale(world: World, queued: string): boolean {
  return queued === 'stale' && world.without !== 'hints are sent again'
}
