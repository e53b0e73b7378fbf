import type { Command } from 'commander'
import { formatInstant } from '../../../../shared/instant.ts'
import {
  addPrincipal,
  listPrincipals,
  type PrincipalRow,
  removePrincipal,
} from '../../../../shared/metadata/access/principals.ts'
import { table } from '../../../table.ts'
import { type Cli, examples } from '../../command.ts'
import { EXIT } from '../../exit-codes.ts'
import { onMetadata, storeOf, tenantOf } from './on-metadata.ts'
import { tenantValue } from './options.ts'

const ISSUER = 'https://login.microsoftonline.com/00000000-0000-0000-0000-000000000000/v2.0'
const SUBJECT = '11111111-1111-1111-1111-111111111111'
const WHOSE = 'the tenant, instead of METADATA_TENANT'

type Options = { readonly issuer: string; readonly producer?: readonly string[]; readonly tenant?: string }

export function registerPrincipals(metadata: Command, cli: Cli): void {
  const principals = metadata
    .command('principals')
    .description('Entra identities that may use the HTTP service; what they may do their app roles say')
  principals
    .command('add')
    .description('give an identity a tenant, or say anew what it writes as')
    .argument('<subject>', 'oid of a user, an application or a managed identity')
    .requiredOption('--issuer <url>', 'of its tokens: https://login.microsoftonline.com/<directory>/v2.0')
    .option('--producer <id...>', 'producer ids that it writes as; * for all but those of the platform')
    .option('--tenant <tenant>', WHOSE, tenantValue)
    .addHelpText('after', examples(`tributary metadata principals add ${SUBJECT} --issuer ${ISSUER} --tenant acme`))
    .action(
      onMetadata(cli, async ({ platform, out, actor }, subject: string, options: Options) => {
        const { issuer, producer: producers = [] } = options
        const principal = { issuer, subject, tenant: tenantOf(platform, options.tenant), producers }
        await addPrincipal(storeOf(platform, 'principals').db, principal, actor)
        out.answer(principal, ({ tenant }) => `${subject} is of ${tenant}`)
        return undefined
      }),
    )
  principals
    .command('list')
    .description('identities of a tenant')
    .option('--tenant <tenant>', WHOSE, tenantValue)
    .addHelpText('after', examples('tributary metadata principals list --tenant acme'))
    .action(
      onMetadata(cli, async ({ platform, out }, { tenant }: Pick<Options, 'tenant'>) => {
        out.answer(await listPrincipals(storeOf(platform, 'principals').db, tenantOf(platform, tenant)), showList)
        return undefined
      }),
    )
  principals
    .command('remove')
    .description('take its tenant from an identity, everywhere within 60 s; exit code 1 where it has none')
    .argument('<subject>', 'as metadata principals list shows it')
    .requiredOption('--issuer <url>', 'as metadata principals list shows it')
    .option('--tenant <tenant>', WHOSE, tenantValue)
    .addHelpText('after', examples(`tributary metadata principals remove ${SUBJECT} --issuer ${ISSUER}`))
    .action(
      onMetadata(cli, async ({ platform, out, actor }, subject: string, { issuer, tenant: named }: Options) => {
        const tenant = tenantOf(platform, named)
        const removed = await removePrincipal(storeOf(platform, 'principals').db, { issuer, subject, tenant }, actor)
        out.answer({ issuer, subject, tenant, removed }, () =>
          removed ? `${subject} is of ${tenant} no more` : `${subject}: ${tenant} has no such identity`,
        )
        return removed ? undefined : EXIT.failed
      }),
    )
}

function showList(principals: readonly PrincipalRow[]): string {
  if (principals.length === 0) return 'no identities'
  return table(
    ['subject', 'issuer', 'producers', 'added'],
    principals.map(({ subject, issuer, producers, createdAt }) => [
      subject,
      issuer,
      producers.join(' '),
      formatInstant(createdAt),
    ]),
  )
}
