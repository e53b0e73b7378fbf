import type { Command } from 'commander'
import type { Cli } from '../command.ts'
import { registerEmit } from './metadata/emit.ts'
import { registerConsumers, registerFeed } from './metadata/feed.ts'
import { registerImport } from './metadata/import.ts'
import { registerKeep } from './metadata/keep.ts'
import { registerKinds } from './metadata/kinds.ts'
import { registerPrincipals } from './metadata/principals.ts'
import { registerReads } from './metadata/read.ts'
import { registerMetadataRejects } from './metadata/rejects.ts'
import { registerTokens } from './metadata/tokens.ts'

export function registerMetadata(program: Command, cli: Cli): void {
  const metadata = program
    .command('metadata')
    .description('metadata records: what is known of every target, who may say it, and what follows it')
  registerReads(metadata, cli)
  registerEmit(metadata, cli)
  registerImport(metadata, cli)
  registerKeep(metadata, cli)
  registerMetadataRejects(metadata, cli)
  registerFeed(metadata, cli)
  registerConsumers(metadata, cli)
  registerKinds(metadata, cli)
  registerTokens(metadata, cli)
  registerPrincipals(metadata, cli)
}
