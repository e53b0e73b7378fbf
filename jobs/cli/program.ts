import { Command, CommanderError } from 'commander'
import { CancelledError, ConfigError, ThrottledError, toError } from '../../shared/errors.ts'
import type { Cli } from './command.ts'
import { registerBackfill } from './commands/backfill.ts'
import { registerCoverage } from './commands/coverage.ts'
import { registerDoctor } from './commands/doctor.ts'
import { registerExplain } from './commands/explain.ts'
import { registerFsck } from './commands/fsck.ts'
import { registerIngest } from './commands/ingest.ts'
import { registerLease } from './commands/lease.ts'
import { registerMetadata } from './commands/metadata.ts'
import { registerNightly } from './commands/nightly.ts'
import { registerPreview } from './commands/preview.ts'
import { registerQuarantine } from './commands/quarantine.ts'
import { registerRejects } from './commands/rejects.ts'
import { registerReprocess } from './commands/reprocess.ts'
import { registerRun } from './commands/run.ts'
import { registerState } from './commands/state.ts'
import { registerStatus } from './commands/status.ts'
import { registerStreams } from './commands/streams.ts'
import { registerVerify } from './commands/verify.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'

const REGISTER = [
  registerBackfill,
  registerStatus,
  registerStreams,
  registerRun,
  registerCoverage,
  registerPreview,
  registerQuarantine,
  registerIngest,
  registerState,
  registerLease,
  registerDoctor,
  registerReprocess,
  registerVerify,
  registerFsck,
  registerExplain,
  registerRejects,
  registerNightly,
  registerMetadata,
] as const

export type RunOptions = Omit<Cli, 'exitWith'>

/** Runs one command line, without `node` and the script; resolves to the exit code and never throws. */
export async function runCli(argv: readonly string[], options: RunOptions): Promise<ExitCode> {
  let code: ExitCode = EXIT.done
  const exitWith = (next: ExitCode) => {
    code = next
  }
  const program = createProgram({ ...options, exitWith })
  try {
    await program.parseAsync(argv, { from: 'user' })
    return code
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage
    return explain(toError(error), options)
  }
}

/** Every command there is. */
export function createProgram(cli: Cli): Command {
  const program = new Command('tributary')
    .description('Operates ingestion: what is there, what is missing, and how it is mended.')
    .option('--json', 'print answers as JSON on standard output, progress as JSON lines on standard error')
    .addHelpText(
      'after',
      `
Services: DATABASE_URL and AzureWebJobsStorage, or those of npm start in TRIBUTARY_DATA_DIR (.tributary).
Exit codes: 0 done, 1 failed, 2 settings or usage, 75 try again (quota), 143 stopped.
`,
    )
    .configureOutput({ writeErr: cli.streams.err, writeOut: cli.streams.out })
  for (const register of REGISTER) register(program, cli)
  strict(program)
  return program
}

/** Errors are thrown and not ended with, by the program and every command below it; none takes what it does not know. */
function strict(command: Command): void {
  command.exitOverride().allowExcessArguments(false).showHelpAfterError('(--help shows what is expected)')
  for (const child of command.commands) {
    child.copyInheritedSettings(command)
    strict(child)
  }
}

function explain(error: Error, { streams, signal }: RunOptions): ExitCode {
  if (error instanceof ConfigError) {
    for (const problem of error.problems) streams.err(`${problem}\n`)
    return EXIT.usage
  }
  if (signal.aborted || error instanceof CancelledError) {
    streams.err('stopped; the same command goes on from here\n')
    return EXIT.stopped
  }
  streams.err(`${error.message}\n`)
  return error instanceof ThrottledError ? EXIT.quota : EXIT.failed
}
