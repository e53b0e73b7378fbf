import { type Command, InvalidArgumentError } from 'commander'
import { parseDuration } from '../../../../shared/duration.ts'
import {
  formatInstant,
  type Instant,
  MICROS_PER_SECOND,
  parseDateOrInstant,
  systemNow,
} from '../../../../shared/instant.ts'
import { PERMISSIONS } from '../../../../shared/metadata/access/caller.ts'
import {
  type CreatedToken,
  createToken,
  listTokens,
  OVERLAP_SECONDS_MAX,
  revokeToken,
  rotateToken,
  type TokenRow,
} from '../../../../shared/metadata/access/tokens.ts'
import { table } from '../../../table.ts'
import { type Cli, examples } from '../../command.ts'
import { onMetadata, storeOf, tenantOf } from './on-metadata.ts'
import { tenantValue } from './options.ts'

const WHOSE = 'whose token, instead of METADATA_TENANT'
const ONCE = 'it is shown this once: only a hash of it is kept'

type Tenant = { readonly tenant?: string }
type CreateOptions = Tenant & {
  readonly permission: readonly string[]
  readonly producer?: readonly string[]
  readonly expires?: Instant
}

export function registerTokens(metadata: Command, cli: Cli): void {
  const tokens = metadata.command('tokens').description('tokens of the HTTP service')
  tokens
    .command('create')
    .description('make a token; it is shown once, on standard output')
    .requiredOption('--permission <name...>', `what it may do: ${PERMISSIONS.join(', ')}, records:write:<kind or *>`)
    .option('--producer <id...>', 'producer ids that it writes as; * for all but those of the platform')
    .option('--expires <when>', 'a date, an instant, or a duration such as 90d (default: 365d)', expiryValue)
    .option('--tenant <tenant>', WHOSE, tenantValue)
    .addHelpText(
      'after',
      examples(
        'tributary metadata tokens create --permission records:read feed:read --expires 90d',
        'tributary metadata tokens create --permission records:write:recon_result --producer acme.recon --tenant acme',
      ),
    )
    .action(
      onMetadata(cli, async ({ platform, out, actor }, options: CreateOptions) => {
        const { permission: permissions, producer: producers = [], expires: expiresAt = expiryValue('365d') } = options
        const { db } = storeOf(platform, 'tokens')
        const given = {
          tenant: tenantOf(platform, options.tenant),
          permissions,
          producers,
          expiresAt,
          createdBy: actor,
        }
        const created = await createToken(db, given, platform.metadata.settings.tokenEnvironment)
        out.answer({ tenant: given.tenant, ...created }, showCreated)
        return undefined
      }),
    )
  tokens
    .command('list')
    .description('tokens of a tenant, those that are good first')
    .option('--tenant <tenant>', WHOSE, tenantValue)
    .addHelpText('after', examples('tributary metadata tokens list', 'tributary metadata tokens list --tenant acme'))
    .action(
      onMetadata(cli, async ({ platform, out }, { tenant }: Tenant) => {
        out.answer(await listTokens(storeOf(platform, 'tokens').db, tenantOf(platform, tenant)), showList)
        return undefined
      }),
    )
  registerRotate(tokens, cli)
  registerRevoke(tokens, cli)
}

type RotateOptions = Tenant & { readonly overlap?: number; readonly expires?: Instant }

function registerRotate(tokens: Command, cli: Cli): void {
  tokens
    .command('rotate')
    .description('make another token with the same rights; the old one ends with the overlap')
    .argument('<token-id>', 'id as metadata tokens list shows it')
    .option('--overlap <duration>', 'how long both are good, 7d at most (default: 1d)', overlapValue)
    .option('--expires <when>', 'of the new one (default: as long from now as the old one was made for)', expiryValue)
    .option('--tenant <tenant>', WHOSE, tenantValue)
    .addHelpText('after', examples('tributary metadata tokens rotate 6r1kTz0qWcYvB3aM --overlap 2h'))
    .action(
      onMetadata(cli, async ({ platform, out, actor }, tokenId: string, options: RotateOptions) => {
        const { overlap: overlapSeconds = overlapValue('1d'), expires: expiresAt } = options
        const rotation = { tenant: tenantOf(platform, options.tenant), overlapSeconds, expiresAt, by: actor }
        const { db } = storeOf(platform, 'tokens')
        const rotated = await rotateToken(db, tokenId, rotation, platform.metadata.settings.tokenEnvironment)
        out.answer(
          rotated,
          (answer) => `${showCreated(answer)}\n${tokenId} is good until ${formatInstant(answer.replacedExpiresAt)}`,
        )
        return undefined
      }),
    )
}

function registerRevoke(tokens: Command, cli: Cli): void {
  tokens
    .command('revoke')
    .description('end a token for ever, everywhere within 60 s')
    .argument('<token-id>', 'id as metadata tokens list shows it')
    .option('--tenant <tenant>', WHOSE, tenantValue)
    .addHelpText('after', examples('tributary metadata tokens revoke 6r1kTz0qWcYvB3aM'))
    .action(
      onMetadata(cli, async ({ platform, out, actor }, tokenId: string, { tenant: named }: Tenant) => {
        const tenant = tenantOf(platform, named)
        await revokeToken(storeOf(platform, 'tokens').db, tokenId, { tenant, by: actor })
        out.answer({ tenant, tokenId }, () => `${tokenId} is revoked; instances that know it hear of it within 60 s`)
        return undefined
      }),
    )
}

function expiryValue(text: string): Instant {
  const seconds = parseDuration(text)
  const instant = seconds === undefined ? parseDateOrInstant(text) : systemNow() + BigInt(seconds) * MICROS_PER_SECOND
  if (instant !== undefined) return instant
  throw new InvalidArgumentError('expected a date such as 2027-01-31, an instant, or a duration such as 90d')
}

function overlapValue(text: string): number {
  const seconds = parseDuration(text)
  if (seconds !== undefined && seconds <= OVERLAP_SECONDS_MAX) return seconds
  throw new InvalidArgumentError('expected a duration such as 0s, 2h or 1d, of at most 7d')
}

function showCreated({ tokenId, token, expiresAt }: CreatedToken): string {
  return [token, `token ${tokenId} is good until ${formatInstant(expiresAt)}; ${ONCE}`].join('\n')
}

function showList(tokens: readonly TokenRow[]): string {
  if (tokens.length === 0) return 'no tokens'
  return table(
    ['token', 'permissions', 'producers', 'expires', 'last used', 'made by', ''],
    tokens.map(({ tokenId, permissions, producers, expiresAt, lastUsedAt, createdBy, revokedAt, replacedBy }) => [
      tokenId,
      permissions.join(' '),
      producers.join(' '),
      formatInstant(expiresAt),
      lastUsedAt === null ? 'never' : formatInstant(lastUsedAt),
      createdBy,
      revokedAt === null ? (replacedBy === null ? '' : `replaced by ${replacedBy}`) : 'revoked',
    ]),
  )
}
