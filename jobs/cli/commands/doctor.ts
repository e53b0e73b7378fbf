import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from 'commander'
import { ConfigError, toError } from '../../../shared/errors.ts'
import type { Check } from '../../../shared/ops/doctor/check.ts'
import { diagnose, type Patient } from '../../../shared/ops/doctor/diagnose.ts'
import { type Cli, examples } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import { createOutput } from '../output.ts'
import { openSession } from '../session.ts'

export function registerDoctor(program: Command, cli: Cli): void {
  program
    .command('doctor')
    .description('whether settings, storage, PostgreSQL, clocks, permissions and host.json are as they must be')
    .addHelpText(
      'after',
      `
Leaves one small blob in raw (_doctor/probe), by which it sees that raw is written once, and one row in the table
progress; none in PostgreSQL. Exit code 1 where a check fails.
${examples('tributary doctor', 'tributary doctor --json | jq \'.checks[] | select(.status != "ok")\'')}`,
    )
    .action(async (_options: unknown, command: Command) => {
      const { json = false } = command.optsWithGlobals<{ json?: boolean }>()
      const out = createOutput(json, cli.streams)
      const session = await open(cli, (line) => out.progress('services', { detail: line }, line))
      try {
        const checks = await diagnose({ env: cli.env, opened: session.opened, hostJson: await readHostJson(cli) })
        const failed = checks.filter(({ status }) => status === 'fail').length
        out.answer({ failed, checks }, show)
        cli.exitWith(failed > 0 ? EXIT.failed : EXIT.done)
      } finally {
        await session.close()
      }
    })
}

/** Settings that are wrong are what a doctor is asked about: they do not end the command. */
async function open(
  cli: Cli,
  report: (line: string) => void,
): Promise<{ readonly opened: Patient['opened']; readonly close: () => Promise<void> }> {
  const nothingToClose = async () => undefined
  if (cli.platform !== undefined) return { opened: { platform: cli.platform }, close: nothingToClose }
  try {
    const { platform, close } = await openSession({ env: cli.env, signal: cli.signal, report })
    return { opened: { platform }, close }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return { opened: { problems: error.problems }, close: nothingToClose }
  }
}

async function readHostJson({ env }: Cli): Promise<string | null> {
  return readFile(join(env.AzureWebJobsScriptRoot || '.', 'host.json'), 'utf8').catch((error) => {
    const { code } = toError(error) as NodeJS.ErrnoException
    if (code === 'ENOENT') return null
    throw error
  })
}

function show({ checks, failed }: { readonly checks: readonly Check[]; readonly failed: number }): string {
  const lines = checks.flatMap(({ status, name, expected, got, todo }) => {
    if (todo === null) return [`ok    ${name}: ${got}`]
    return [`${status}  ${name}: expected ${expected}, got ${got}`, `      ${todo}`]
  })
  const warned = checks.filter(({ status }) => status === 'warn').length
  return [...lines, '', `${checks.length} checks, ${failed} failed, ${warned} warnings`].join('\n')
}
