import { openContainer } from '../azure/blobs.ts'
import { openTable } from '../azure/tables.ts'
import { type IoHook, withoutHook } from '../io-hook.ts'
import type { Platform } from '../platform.ts'
import { LATEST_TABLE, latestTableConsumer } from './consumers/latest-table.ts'
import { logConsumer } from './consumers/log.ts'
import { signalsConsumer } from './consumers/signals.ts'
import type { FeedConsumer } from './feed/consumer.ts'
import { rollupConsumer } from './rollup/consumer.ts'

/** Who follows the feed in this deployment. */
export function metadataConsumers(platform: Platform, hook: IoHook = withoutHook): readonly FeedConsumer[] {
  const { settings, metadata, db, log } = platform
  const container = openContainer({ account: settings.lakeStorage, container: 'metadata', hook })
  return [
    logConsumer({ container }),
    latestTableConsumer({ table: openTable({ account: settings.lakeStorage, table: LATEST_TABLE, hook }) }),
    rollupConsumer({ files: container, kinds: metadata.kinds }),
    signalsConsumer({ log, alerts: db }),
  ]
}
