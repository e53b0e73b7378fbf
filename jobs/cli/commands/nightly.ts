import type { Command } from 'commander'
import { type NightlyResult, runNightly } from '../../../shared/ops/nightly.ts'
import { type Cli, examples, onPlatform } from '../command.ts'

export function registerNightly(program: Command, cli: Cli): void {
  program
    .command('nightly')
    .description('what is done once a day: catalog, compaction of metadata, archive of raw pages; safe to repeat')
    .addHelpText('after', examples('tributary nightly', 'tributary nightly --json'))
    .action(
      onPlatform(cli, async ({ platform, out, signal, actor }) => {
        const results = await runNightly(platform, { actor, stop: signal })
        out.answer({ steps: results }, () => show(results))
        return undefined
      }),
    )
}

function show(results: NightlyResult): string {
  return results.map(({ step, result }) => `${step}: ${printed(result)}`).join('\n')
}

function printed(result: unknown): string {
  if (result === null) return 'runs elsewhere'
  if (typeof result !== 'object') return String(result)
  if (Array.isArray(result)) return result.length === 0 ? 'nothing to do' : result.map(printed).join('\n  ')
  return Object.entries(result)
    .map(([name, value]) => `${name} ${Array.isArray(value) ? value.join(' ') || 'none' : String(value)}`)
    .join(', ')
}
