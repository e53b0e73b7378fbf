import { v7 as uuidv7 } from 'uuid'
import type { Database, Statement } from '../../postgres/database.ts'
import { lockStream } from '../state/lock-stream.ts'
import type { State } from '../state/state-machine.ts'
import { checkSeenFile, formatFileVersion, type SeenFile } from './file-version.ts'
import { markVersions } from './mark-versions.ts'

/** What became of a file that was seen. */
export type FilePlan =
  | { readonly kind: 'planned'; readonly sourceIngestId: string; readonly version: number }
  /** The newest version was made of this very blob. */
  | { readonly kind: 'known'; readonly version: number }
  /** Its content is what is current: nothing is read, and what came after that version is superseded. */
  | { readonly kind: 'current'; readonly version: number; readonly rebuilds: readonly string[] }
  /** Its content was refused before and will be again: it waits for other content. */
  | { readonly kind: 'waits'; readonly version: number }

/** A version of the same name that was planned before. */
export type KnownVersion = {
  readonly sourceIngestId: string
  readonly version: number
  readonly etag: string
  readonly sha256: string
  readonly state: State
  readonly landed: boolean
  /** Neither superseded nor withdrawn. */
  readonly current: boolean
}

const VERSIONS: Statement = {
  name: 'versions_of_file',
  text: `
select source_ingest_id as "sourceIngestId", (parameters ->> 'version')::int as version, parameters ->> 'etag' as etag,
       parameters ->> 'sha256' as sha256, state, landed_epoch is not null as landed,
       superseded_by is null and withdrawn_at is null as current
  from provenance.source_ingest
 where stream_id = $1::bigint and lane = 'import' and lo is null and parameters ->> 'name' = $2::text
 order by (parameters ->> 'version')::int desc`,
}

const INSERT: Statement = {
  name: 'insert_file_version',
  text: `
insert into provenance.source_ingest (source_ingest_id, stream_id, lane, parameters, initiated_by)
values ($1::uuid, $2::bigint, 'import', $3::jsonb, $4::text)`,
}

/**
 * Plans the ingest of a file, or says why there is nothing to do. The version is counted under the stream's lock, so
 * two who see the same file plan it once. Throws ConfigError where no version can be made of it.
 */
export async function planFile(
  db: Database,
  { streamId, file, initiatedBy }: { readonly streamId: number; readonly file: SeenFile; readonly initiatedBy: string },
): Promise<FilePlan> {
  checkSeenFile(file)
  return db.transaction(async (tx) => {
    await lockStream(tx, streamId)
    const versions = await tx.query<KnownVersion>(VERSIONS, [streamId, file.name])
    const decision = decide(file, versions)
    if (decision.kind === 'current') {
      const { rebuilds } = await markVersions(tx, {
        streamId,
        name: file.name,
        mark: { kind: 'superseded', by: decision.by, which: 'newer' },
      })
      return { kind: 'current', version: decision.by.version, rebuilds }
    }
    if (decision.kind !== 'new') return decision
    const sourceIngestId = uuidv7()
    const { version } = decision
    await tx.query(INSERT, [sourceIngestId, streamId, formatFileVersion({ ...file, version }), initiatedBy])
    return { kind: 'planned', sourceIngestId, version }
  })
}

type Decision =
  | { readonly kind: 'new'; readonly version: number }
  | Extract<FilePlan, { kind: 'known' | 'waits' }>
  | { readonly kind: 'current'; readonly by: KnownVersion }

/** `versions` newest first. */
export function decide(file: Pick<SeenFile, 'etag' | 'sha256'>, versions: readonly KnownVersion[]): Decision {
  const version = (versions[0]?.version ?? 0) + 1
  // A version that was gone before it could be copied is as if it had never been seen.
  const taken = versions.filter(({ state, landed, current }) => landed || !current || state !== 'cancelled')
  const [newest] = taken
  if (newest?.etag === file.etag) return { kind: 'known', version: newest.version }
  const published = taken.find(({ state, current }) => state === 'published' && current)
  if (published?.sha256 === file.sha256) return { kind: 'current', by: published }
  const refused = newest?.landed && newest.current && (newest.state === 'failed' || newest.state === 'quarantined')
  if (refused && newest.sha256 === file.sha256) return { kind: 'waits', version: newest.version }
  return { kind: 'new', version }
}
