import type { Queryable, Statement } from '../../postgres/database.ts'

/** What one may do at a time. `epoch` grows with every taking: a zombie is told by it. */
export type Lease = { readonly name: string; readonly epoch: number; readonly seconds: number }

const TAKE: Statement = {
  name: 'take_metadata_lease',
  text: `
insert into metadata.lease as l (lease, epoch, expires_at) values ($1::text, 1, now() + make_interval(secs => $2::int))
on conflict (lease) do update set epoch = l.epoch + 1, expires_at = excluded.expires_at where l.expires_at <= now()
returning epoch`,
}

const RENEW: Statement = {
  name: 'renew_metadata_lease',
  text: `
update metadata.lease set expires_at = now() + make_interval(secs => $3::int)
 where lease = $1::text and epoch = $2::int
returning epoch`,
}

const RELEASE: Statement = {
  name: 'release_metadata_lease',
  text: `update metadata.lease set expires_at = now() where lease = $1::text and epoch = $2::int`,
}

/** Null: somebody else has it. */
export async function takeLease(db: Queryable, name: string, seconds: number): Promise<Lease | null> {
  const [row] = await db.query<{ epoch: number }>(TAKE, [name, seconds])
  return row === undefined ? null : { name, epoch: row.epoch, seconds }
}

/** False: it is somebody else's now. */
export async function renewLease(db: Queryable, { name, epoch, seconds }: Lease): Promise<boolean> {
  const rows = await db.query(RENEW, [name, epoch, seconds])
  return rows.length === 1
}

export async function releaseLease(db: Queryable, { name, epoch }: Lease): Promise<void> {
  await db.query(RELEASE, [name, epoch])
}
