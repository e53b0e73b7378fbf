import type { Instant } from '../../instant.ts'
import type { Log } from '../../log/log.ts'
import type { Database } from '../../postgres/database.ts'
import type { Authenticator } from '../access/authenticate.ts'
import type { TokenBudgets } from '../access/budget.ts'
import type { KindBook } from '../model/kind-book.ts'
import type { MetadataRepository } from '../model/repository.ts'
import type { KindRegistry } from '../registry/registry.ts'

/** What the service works with. */
export type ServiceOptions = {
  /** Of the metadata. */
  readonly db: Database
  /** Of the producers: how long their outbox waits. Null where there are none beside the service. */
  readonly outboxDb: Database | null
  readonly repositoryOf: (tenant: string) => MetadataRepository | Promise<MetadataRepository>
  readonly kinds: KindBook
  readonly registry: KindRegistry
  readonly authenticate: Authenticator
  /** Absent: no token is limited. */
  readonly budgets?: TokenBudgets
  /** The `<env>` of the tokens that it makes. */
  readonly tokenEnvironment: string
  /** Tells those who follow the feed that something was stored. */
  readonly announce: () => Promise<void>
  readonly log: Log
  readonly clock: () => Instant
}
