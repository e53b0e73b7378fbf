import { LeaseLostError, OutdatedError, PermanentError, TransientError, toError } from '../../../shared/errors.ts'
import { putCurated } from './lake.ts'
import { AnswerLostError, io, type Process, read } from './process.ts'
import { encode, mergeRows, PARTITIONS, type Parsed, partitionOf, type Row, winners } from './records.ts'
import {
  type Claim,
  claim,
  type Listing,
  listInPartition,
  publish,
  readListingGuarded,
  settle,
  type Written,
} from './statements.ts'
import { type CuratedFile, ingestOf, parseIngest, type World } from './world.ts'

/** Smaller than the product's, so that giving up is seen too. */
const TRIES_MAX = 4

/** `curate`: claim → read raw → parse → write each partition → publish. Of a rebuild: claim → rebuild → publish. */
export function* curateWork(world: World, id: number, transformVersion: number): Process {
  const mine = yield* io(`claim ${id} to curate`, () => claim(world, id, 'claimToCurate', transformVersion))
  if (mine === null) return
  try {
    const { partition } = ingestOf(world, id)
    if (partition !== null) {
      const written = yield* tries(world, mine, partition, (file) => rebuild(world, mine, partition, file))
      yield* publishing(world, mine, null, [written])
    } else yield* curateIngest(world, mine)
  } catch (thrown) {
    const error = toError(thrown)
    if (error instanceof LeaseLostError) return
    const settlement = error instanceof OutdatedError ? 'give back' : error instanceof PermanentError ? 'fail' : 'retry'
    yield* io(`${settlement} ${id}`, () => settle(world, mine, settlement))
  }
}

function* curateIngest(world: World, mine: Claim): Process {
  const { id, transformVersion } = mine
  const parsed = yield* read(`GET raw pages of ${id}`, () => {
    const ingest = ingestOf(world, id)
    const epoch = world.without === 'pages of the landed epoch' ? null : ingest.landedEpoch
    return parseIngest(world, id, epoch, transformVersion)
  })
  const written: Written[] = []
  for (const partition of PARTITIONS) {
    const incoming = parsed.rows.filter(({ key }) => partitionOf(key) === partition)
    if (incoming.length === 0) continue
    written.push(yield* tries(world, mine, partition, (file) => merge(world, mine, { partition, incoming, file })))
  }
  yield* publishing(world, mine, parsed, written)
}

type Outcome = {
  readonly rows: readonly Row[]
  readonly blobVersion: number
  /** Equal bytes need no PUT. */
  readonly skipsEqual: boolean
  /** Only with a part taken away: what belongs before the PUT. */
  readonly after?: () => Process<unknown>
}

/** One try = GET file and ETag → `make` the new rows → PUT If-Match. 412 or a lost answer: next try, bounded. */
function* tries(
  world: World,
  mine: Claim,
  partition: number,
  make: (file: CuratedFile | null) => Process<Outcome>,
): Process<Written> {
  for (let left = TRIES_MAX; left > 0; left--) {
    const early = world.without === 'rebuild lists after the get' && ingestOf(world, mine.id).kind === 'rebuild'
    const held = early ? yield* make(null) : null
    const file = yield* read(`GET file ${partition}`, () => world.curated[partition] ?? null)
    if (file !== null && file.transformVersion > mine.transformVersion && world.without !== 'old workers refuse') {
      throw new OutdatedError(`file ${partition}: expected at most ${mine.transformVersion}`)
    }
    const { rows, blobVersion, skipsEqual, after } = held ?? (yield* make(file))
    const bytes = encode(rows, mine.transformVersion)
    if (file !== null && skipsEqual && bytes === file.bytes) return { partition, ...file }
    const put = {
      rows,
      bytes,
      transformVersion: mine.transformVersion,
      blobVersion: Math.max(blobVersion, file?.blobVersion ?? 0) + 1,
    }
    const ifMatch = file?.etag ?? null
    try {
      const name = `PUT file ${partition} if-match ${ifMatch}: ${bytes}`
      const etag = yield* io(name, () => putCurated(world, { partition, ifMatch, ingest: mine.id, ...put }))
      if (after !== undefined) yield* after()
      if (etag !== null) return { partition, etag, ...put }
    } catch (error) {
      if (!(error instanceof AnswerLostError)) throw error
    }
  }
  throw new TransientError(`partition ${partition}: others were always first`)
}

type Merge = {
  readonly partition: number
  readonly incoming: readonly Row[]
  readonly file: CuratedFile | null
}

function* merge(world: World, mine: Claim, write: Merge): Process<Outcome> {
  const { without } = world
  const { partition, incoming, file } = write
  const mergeable =
    file === null || file.transformVersion === mine.transformVersion || without === 'one version per file'
  if (!mergeable) return yield* rebuildWith(world, mine, write)
  const { rows, counts, ownRowsInFile } = mergeRows(file?.rows ?? [], incoming, without)
  const list = () => listInPartition(world, mine, { partition, counts, keepCounts: ownRowsInFile })
  const isFile = ingestOf(world, mine.id).file !== null
  const skipsEqual =
    (ownRowsInFile && (!isFile || without === 'a merge of a file always puts')) ||
    without === 'a merge without own rows always puts'
  if (without === 'listed before the put') {
    return { rows, blobVersion: 0, skipsEqual, after: () => io(`list ${mine.id} in ${partition}`, list) }
  }
  const listing = yield* io(`list ${mine.id} in ${partition}`, list)
  if (file === null && listing.others.length > 0 && without !== 'a missing file is rebuilt') {
    return yield* rebuildWith(world, mine, write)
  }
  return { rows, blobVersion: listing.blobVersion, skipsEqual }
}

/** A file that cannot be merged into: as all others listed make it, and mine merged into that. */
function* rebuildWith(world: World, mine: Claim, { partition, incoming }: Merge): Process<Outcome> {
  const name = `list ${mine.id} in ${partition}`
  const first = yield* io(`${name}, not counted`, () =>
    listInPartition(world, mine, { partition, counts: null, keepCounts: false }),
  )
  const others = rowsOfListing(world, first, partition, mine.transformVersion)
  const { rows, counts } = mergeRows(others, incoming, world.without)
  const { blobVersion } = yield* io(name, () => listInPartition(world, mine, { partition, counts, keepCounts: false }))
  return { rows, blobVersion, skipsEqual: false }
}

function* rebuild(world: World, mine: Claim, partition: number, file: CuratedFile | null): Process<Outcome> {
  const listing = yield* read(`read list of ${partition}`, () => readListingGuarded(world, mine, partition))
  const rows = rowsOfListing(world, listing, partition, mine.transformVersion)
  const { byMark } = ingestOf(world, mine.id)
  const skipsEqual = file !== null && (!byMark || world.without === 'a marked rebuild always puts')
  return { rows, blobVersion: listing.blobVersion, skipsEqual }
}

function rowsOfListing(world: World, { others }: Listing, partition: number, transformVersion: number): readonly Row[] {
  const rows = others.flatMap(({ ingest: id, landedEpoch }) => {
    return parseIngest(world, id, landedEpoch, transformVersion).rows
  })
  return winners(rows.filter(({ key }) => partitionOf(key) === partition))
}

function* publishing(world: World, mine: Claim, parsed: Parsed | null, written: readonly Written[]): Process {
  const commit = () => publish(world, mine, parsed, written)
  try {
    yield* io(`publish ${mine.id}`, commit)
  } catch (error) {
    if (!(error instanceof AnswerLostError)) throw error
    const { state, epoch } = yield* read(`read back ${mine.id}`, () => ({ ...ingestOf(world, mine.id) }))
    if (epoch === mine.epoch && state === 'curating') yield* io(`publish ${mine.id} again`, commit)
  }
}
