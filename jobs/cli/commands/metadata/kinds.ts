import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { z } from 'zod'
import { ConfigError, toError } from '../../../../shared/errors.ts'
import { formatInstant, type Instant } from '../../../../shared/instant.ts'
import type {
  KindSummary,
  KindVersion,
  NewKindVersion,
  Registration,
  RegistryProblem,
  RegistryResult,
  VersionDifference,
} from '../../../../shared/metadata/registry/kind-version.ts'
import type { KindRegistry } from '../../../../shared/metadata/registry/registry.ts'
import { recordAudit } from '../../../../shared/ops/audit.ts'
import type { Platform } from '../../../../shared/platform.ts'
import { table } from '../../../table.ts'
import { type Cli, type CommandContext, examples } from '../../command.ts'
import { EXIT, type ExitCode } from '../../exit-codes.ts'
import { instantValue } from '../../option-values.ts'
import { onMetadata, storeOf } from './on-metadata.ts'

export function registerKinds(metadata: Command, cli: Cli): void {
  const kinds = metadata.command('kinds').description('what records may say: kinds and their versions')
  kinds
    .command('list')
    .description('those of the platform, and those that were registered')
    .addHelpText('after', examples('tributary metadata kinds list', 'tributary metadata kinds list --json'))
    .action(
      onMetadata(cli, async ({ platform, out }) => {
        out.answer(await registryOf(platform).kinds(), showKinds)
        return undefined
      }),
    )
  kinds
    .command('show')
    .description('a version with its schema; without a version all of the kind')
    .argument('<kind>', 'name of the kind')
    .argument('[version]', 'major.minor')
    .addHelpText('after', examples('tributary metadata kinds show ingestion_volume 1.0 --json'))
    .action(
      onMetadata(cli, async ({ platform, out }, kind: string, version: string | undefined) => {
        const registry = registryOf(platform)
        const versions =
          version === undefined
            ? accepted(await registry.versions(kind))
            : [accepted(await registry.version(kind, version))]
        out.answer(versions, (all) => all.map(showVersion).join('\n\n'))
        return undefined
      }),
    )
  registerRegister(kinds, cli)
  registerPublish(kinds, cli)
  registerDeprecate(kinds, cli)
}

function registerRegister(kinds: Command, cli: Cli): void {
  kinds
    .command('register')
    .description('register a version; exit code 1 where earlier ones stand against it, with what they differ in')
    .argument('<file>', 'JSON: {"kind","version","schema","behaviour","state"}; state is published or draft')
    .option('--dry-run', 'say whether it would be accepted, and what differs; write nothing')
    .addHelpText(
      'after',
      `
What is published is immutable. The same again is no error.
${examples('tributary metadata kinds register freshness.json --dry-run', 'tributary metadata kinds register freshness.json')}`,
    )
    .action(
      onMetadata(cli, async (context, file: string, { dryRun = false }: { readonly dryRun?: boolean }) => {
        const { platform, actor } = context
        const input = await readVersion(file)
        const result = await registryOf(platform).register(input, { createdBy: actor, dryRun })
        if (result.ok && result.value.created) await audit(context, 'register_metadata_kind', nameOf(input))
        return answerRegistration(context, nameOf(input), result)
      }),
    )
}

function registerPublish(kinds: Command, cli: Cli): void {
  kinds
    .command('publish')
    .description('publish a draft, for ever as it is; it is judged once more')
    .argument('<kind>', 'name of the kind')
    .argument('<version>', 'major.minor')
    .addHelpText('after', examples('tributary metadata kinds publish freshness 1.1'))
    .action(
      onMetadata(cli, async (context, kind: string, version: string) => {
        const result = await registryOf(context.platform).publish(kind, version)
        const name = `${kind} ${version}`
        if (!result.ok) return answerRegistration(context, name, result)
        await audit(context, 'publish_metadata_kind', name)
        context.out.answer(result.value, ({ state }) => `${name} is ${state}`)
        return undefined
      }),
    )
}

function registerDeprecate(kinds: Command, cli: Cli): void {
  kinds
    .command('deprecate')
    .description('let a version be written until its sunset, and read for ever; the sunset may be moved')
    .argument('<kind>', 'name of the kind')
    .argument('<version>', 'major.minor')
    .requiredOption('--sunset <instant>', 'from then on it may be read only, as 2027-01-31', instantValue)
    .requiredOption('--reason <text>', 'why; kept in the audit')
    .addHelpText(
      'after',
      examples("tributary metadata kinds deprecate freshness 1.0 --sunset 2027-01-31 --reason 'all write 2.0'"),
    )
    .action(
      onMetadata(cli, async (context, kind: string, version: string, { sunset, reason }: DeprecateOptions) => {
        const deprecated = accepted(await registryOf(context.platform).deprecate(kind, version, sunset))
        await audit(context, 'deprecate_metadata_kind', `${kind} ${version}`, { sunset: formatInstant(sunset), reason })
        context.out.answer(deprecated, showVersionLine)
        return undefined
      }),
    )
}

type DeprecateOptions = { readonly sunset: Instant; readonly reason: string }

function registryOf(platform: Platform): KindRegistry {
  return storeOf(platform, 'kinds').registry
}

function audit({ platform, actor }: CommandContext, action: string, subject: string, after?: unknown): Promise<void> {
  return recordAudit(storeOf(platform, 'kinds').db, { actor, action, subject, after })
}

// Only what the type asks for: the registry checks what is in it.
const kindFile = z.strictObject({
  kind: z.string(),
  version: z.string(),
  schema: z.unknown(),
  behaviour: z.unknown().optional(),
  state: z.enum(['draft', 'published']).optional(),
})

async function readVersion(file: string): Promise<NewKindVersion> {
  const place = resolve(file)
  const text = await readFile(place, 'utf8').catch((error) => {
    throw new ConfigError([`kind file: expected to read ${place}, got ${toError(error).message}`])
  })
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw new ConfigError([`kind file: expected json, got ${toError(error).message} (${place})`])
  }
  const parsed = kindFile.safeParse(json)
  if (parsed.success) return parsed.data
  throw new ConfigError(
    parsed.error.issues.map(
      ({ path, message }) => `kind file${path.map((part) => `/${String(part)}`).join('')}: ${message}`,
    ),
  )
}

function answerRegistration(
  { out }: CommandContext,
  name: string,
  result: RegistryResult<Registration | KindVersion>,
): ExitCode | undefined {
  if (!result.ok) {
    const { problem } = result
    if (problem.code !== 'schema-incompatible') throw refusal(problem)
    const { detail, differences } = problem
    out.answer({ accepted: false, detail, differences, version: null, created: false }, showRefused)
    return EXIT.failed
  }
  if (!('accepted' in result.value)) return undefined
  const { value } = result
  out.answer(value, () => (value.accepted ? showAccepted(name, value) : showRefused(value)))
  return value.accepted ? undefined : EXIT.failed
}

function accepted<Value>(result: RegistryResult<Value>): Value {
  if (result.ok) return result.value
  throw refusal(result.problem)
}

function refusal({ detail, errors }: RegistryProblem): ConfigError {
  return new ConfigError(errors.length === 0 ? [detail] : errors.map((error) => `${error.pointer}: ${error.detail}`))
}

function nameOf({ kind, version }: NewKindVersion): string {
  return `${kind} ${version}`
}

function showKinds(kinds: readonly KindSummary[]): string {
  return table(
    ['kind', 'of', 'versions'],
    kinds.map(({ kind, builtIn, versions }) => [
      kind,
      builtIn ? 'the platform' : 'others',
      versions.map(({ version, state }) => (state === 'published' ? version : `${version} (${state})`)).join(', '),
    ]),
  )
}

function showVersion(version: KindVersion): string {
  const { behaviour, schema } = version
  const { outcomes, hotDays, rollups, facets } = behaviour
  const list = (names: readonly string[] | null) => (names === null || names.length === 0 ? 'none' : names.join(', '))
  return [
    showVersionLine(version),
    `  outcomes   ${list(outcomes)}`,
    `  hot for    ${hotDays === null ? 'ever' : `${hotDays} days`}`,
    `  rolls up   ${list(rollups)}`,
    `  filters    ${list(facets)}`,
    JSON.stringify(schema, null, 2),
  ].join('\n')
}

function showVersionLine({ kind, version, state, sunsetAt, createdBy }: KindVersion): string {
  const by = createdBy === null ? '' : `, registered by ${createdBy}`
  return `${kind} ${version} is ${state}${sunsetAt === null ? '' : ` until ${formatInstant(sunsetAt)}`}${by}`
}

function showAccepted(name: string, { version, created, differences }: Registration): string {
  const state = version === null ? 'would be accepted' : created ? `is ${version.state}` : 'was there already'
  return [`${name} ${state}`, ...differences.map(showDifference)].join('\n')
}

function showRefused({ detail, differences }: { detail: string | null; differences: readonly VersionDifference[] }) {
  return [`not accepted: ${detail ?? ''}`, ...differences.map(showDifference)].join('\n')
}

function showDifference({ verdict, change, pointer, against }: VersionDifference): string {
  return `  ${verdict.padEnd(5)}  ${change} at ${pointer} (from ${against})`
}
