import { assertCursorForward } from './oracle.ts'
import { type ConsumerName, type ConsumerRow, isPast, type Position, START } from './tables.ts'
import type { World } from './world.ts'

/** Who holds a consumer, and what only they may do. */
export type Lease = { readonly name: ConsumerName; readonly epoch: number; readonly generation: number }

export function acquire({ database, without }: World, name: ConsumerName) {
  const { consumers, generation } = database.tables
  const row = consumers.get(name)
  if (row === undefined || row.lease === 'held') return null
  const isOld = row.generation !== generation && without !== 'cursors carry a generation'
  const position = isOld ? START : row.position
  const epoch = row.epoch + 1
  consumers.set(name, { ...row, position, generation, epoch, lease: 'held' })
  return { position, lease: { name, epoch, generation } }
}

export function consumerOf({ database }: World, name: ConsumerName): ConsumerRow {
  const row = database.tables.consumers.get(name)
  if (row === undefined) throw new Error(`consumer ${name}: expected a row, got none`)
  return row
}

/** A restore takes epochs back too: the generation tells them apart. */
export function holds({ epoch, generation }: Lease, row: ConsumerRow): boolean {
  return row.epoch === epoch && row.generation === generation
}

export function move(world: World, lease: Lease, position: Position): boolean {
  const row = consumerOf(world, lease.name)
  if (!holds(lease, row) && world.without !== 'zombies move no cursor') return false
  assertCursorForward(lease, row, position)
  const isOurs = row.generation === world.database.tables.generation && isPast(position, row.furthest)
  const furthest = isOurs ? position : row.furthest
  world.database.tables.consumers.set(lease.name, { ...row, position, furthest })
  return true
}
