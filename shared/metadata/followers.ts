import { openContainer } from '../azure/blobs.ts'
import type { StorageAccount } from '../azure/storage-account.ts'
import { openTable } from '../azure/tables.ts'
import type { OpenLineageSettings } from '../config/metadata-settings.ts'
import { LATEST_TABLE } from '../config/storage-names.ts'
import type { IoHook } from '../io-hook.ts'
import type { Log } from '../log/log.ts'
import { latestTableConsumer } from './consumers/latest-table.ts'
import { logConsumer } from './consumers/log.ts'
import { openLineageConsumer } from './consumers/open-lineage.ts'
import type { FeedConsumer } from './feed/consumer.ts'
import type { KindBook } from './model/kind-book.ts'
import { rollupConsumer } from './rollup/consumer.ts'

export type FollowersOptions = {
  readonly account: StorageAccount
  readonly kinds: KindBook
  readonly openLineage: OpenLineageSettings | undefined
  readonly hook: IoHook
  readonly log: Log
}

/** Who follows the feed wherever there is one: the log, the table, the rollups. Once per process: they remember. */
export function openFollowers({ account, kinds, openLineage, hook, log }: FollowersOptions): readonly FeedConsumer[] {
  const container = openContainer({ account, container: 'metadata', hook })
  return [
    logConsumer({ container }),
    latestTableConsumer({ table: openTable({ account, table: LATEST_TABLE, hook }) }),
    rollupConsumer({ files: container, kinds }),
    ...(openLineage === undefined ? [] : [openLineageConsumer({ ...openLineage, log, hook })]),
  ]
}
