import {
  ContractError,
  LeaseLostError,
  PermanentError,
  RawCollisionError,
  ThrottledError,
  toError,
} from '../../../shared/errors.ts'
import { WindowTooLargeError } from '../../../shared/ingest/state/split.ts'
import { askProvider, putRaw } from './lake.ts'
import { sendHints, split } from './plan.ts'
import { AnswerLostError, io, type Process, read } from './process.ts'
import type { Body } from './records.ts'
import { type Claim, claim, land, recordPage, settle } from './statements.ts'
import { ingestOf, type World } from './world.ts'

/** `land`: claim → per page GET, PUT raw, insert raw_page → landed → send to `curate`. */
export function* landWork(world: World, id: number, transformVersion: number): Process {
  const mine = yield* io(`claim ${id} to land`, () => claim(world, id, 'claimToLand', transformVersion))
  if (mine === null) return
  try {
    for (let pageNo = 0, isLast = false; !isLast; pageNo++) {
      isLast = yield* fetchPage(world, mine, pageNo)
    }
    yield* landed(world, mine)
  } catch (error) {
    yield* settleLanding(world, mine, toError(error))
    return
  }
  if (ingestOf(world, id).state === 'landed') yield* sendHints(world, [id])
}

function* fetchPage(world: World, mine: Claim, pageNo: number): Process<boolean> {
  const body = yield* io(`GET page ${pageNo} of ${mine.id}`, () => askProvider(world, mine.id, pageNo))
  const epoch = world.without === 'an epoch has its own pages' ? '' : `_e${mine.epoch}`
  const path = `${mine.id}${epoch}_p${pageNo}`
  yield* storeRaw(world, path, body)
  const { file } = ingestOf(world, mine.id)
  const observedAt = (file === null ? mine.claimedAt : file.changedAt) + pageNo
  yield* io(`raw_page ${path}`, () => recordPage(world, mine, { pageNo, path, observedAt }))
  return body.isLast
}

/** A create whose answer was lost is tried again; what is there must be what we hold. */
function* storeRaw(world: World, path: string, body: Body): Process {
  const put = () => putRaw(world, path, body)
  let created = false
  try {
    created = yield* io(`PUT raw ${path}`, put)
  } catch (error) {
    if (!(error instanceof AnswerLostError)) throw error
    created = yield* io(`PUT raw ${path} again`, put)
  }
  if (created) return
  const there = yield* read(`HEAD raw ${path}`, () => world.raw.get(path)?.sha)
  if (there !== body.sha) throw new RawCollisionError(`raw page ${path}: expected ${body.sha}, got ${there}`)
}

/** A commit whose outcome is unknown is read back by id before anything else is done. */
function* landed(world: World, mine: Claim): Process {
  try {
    yield* io(`landed ${mine.id}`, () => land(world, mine))
  } catch (error) {
    if (!(error instanceof AnswerLostError)) throw error
    const { state, epoch } = yield* read(`read back ${mine.id}`, () => ({ ...ingestOf(world, mine.id) }))
    if (epoch === mine.epoch && state === 'landing') yield* io(`landed ${mine.id} again`, () => land(world, mine))
    else if (epoch !== mine.epoch || (state !== 'landed' && state !== 'empty')) throw new LeaseLostError('read back')
  }
}

function* settleLanding(world: World, mine: Claim, error: Error): Process {
  if (error instanceof LeaseLostError) return
  if (error instanceof WindowTooLargeError) {
    yield* io(`split ${mine.id}`, () => {
      const ingest = ingestOf(world, mine.id)
      if (ingest.epoch !== mine.epoch || split(world, ingest)) return
      settle(world, mine, 'quarantine')
    })
    return
  }
  const settlement =
    error instanceof ThrottledError
      ? 'give back'
      : error instanceof ContractError
        ? 'quarantine'
        : error instanceof PermanentError
          ? 'fail'
          : 'retry'
  yield* io(`${settlement} ${mine.id}`, () => settle(world, mine, settlement))
}
