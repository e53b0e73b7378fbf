import type { Command } from 'commander'
import { openContainer } from '../../../../shared/azure/blobs.ts'
import { ConfigError } from '../../../../shared/errors.ts'
import { withoutHook } from '../../../../shared/io-hook.ts'
import { AccessError } from '../../../../shared/metadata/access/access-error.ts'
import type { MetadataStore } from '../../../../shared/metadata/metadata.ts'
import { QueryError } from '../../../../shared/metadata/model/repository.ts'
import type { Platform } from '../../../../shared/platform.ts'
import { type Cli, type CommandContext, onPlatform } from '../../command.ts'
import type { ExitCode } from '../../exit-codes.ts'

/** `onPlatform`, where what can not be asked for is a matter of usage: exit code 2. */
export function onMetadata<Args extends readonly unknown[]>(
  cli: Cli,
  work: (context: CommandContext, ...args: Args) => Promise<ExitCode | undefined>,
): (...args: [...Args, Command]) => Promise<void> {
  return onPlatform<Args>(cli, async (context, ...args) => {
    try {
      return await work(context, ...args)
    } catch (error) {
      if (error instanceof QueryError || error instanceof AccessError) {
        throw new ConfigError([error.message], { cause: error })
      }
      throw error
    }
  })
}

/** What stands around the records. Throws ConfigError where they are not in PostgreSQL. */
export function storeOf({ metadata }: Platform, command: string): MetadataStore {
  if (metadata.store !== null) return metadata.store
  const { kind } = metadata.settings.place
  throw new ConfigError([
    `METADATA_REPOSITORY: expected postgres, which tributary metadata ${command} needs, got ${kind}`,
  ])
}

/** The tenant that was named, else the deployment's. */
export function tenantOf({ metadata }: Platform, named: string | undefined): string {
  const { place, tenant } = metadata.settings
  if (named === undefined || named === tenant) return tenant
  if (place.kind !== 'remote') return named
  throw new ConfigError([
    `--tenant: expected none where METADATA_REPOSITORY is remote: its token says it, got ${named}`,
  ])
}

/** Log and compacted files. */
export function metadataContainer({ settings }: Platform) {
  return openContainer({ account: settings.lakeStorage, container: 'metadata', hook: withoutHook })
}
