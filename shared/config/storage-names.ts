/** Progress of backfills, a row per worker. */
export const PROGRESS_TABLE = 'progress'

/** Copies of the latest metadata record of each series, for readers without PostgreSQL. */
export const LATEST_TABLE = 'MetadataLatest'

/** Queues whose messages the functions handle; each has a poison queue beside it, `<queue>-poison`. */
export const QUEUES = ['land', 'curate', 'metadata'] as const

/** Containers of the lake's account. */
export const CONTAINERS = ['landing', 'raw', 'curated', 'metadata', 'archive'] as const

/** Tables of the lake's account. */
export const TABLES = [PROGRESS_TABLE, LATEST_TABLE] as const
