import { ConfigError, toError } from '../../../shared/errors.ts'
import { sample } from '../../../shared/json.ts'
import type { FunctionCallback, HookCallback, HookName, ProgrammingModel } from './core-api.ts'
import { loadEntryFile, programmingModel, type Registrations } from './core-module.ts'
import { type Environment, metadataSchema, parseTrigger, type Trigger } from './trigger.ts'

export type AppFunction<T extends Trigger = Trigger> = {
  readonly name: string
  /** As registered: the library reads it again at each invocation. */
  readonly metadata: unknown
  readonly callback: FunctionCallback
  readonly trigger: T
}

/** Everything that the entry files registered. */
export type FunctionApp = {
  readonly functions: readonly AppFunction[]
  readonly hooks: (name: HookName) => readonly HookCallback[]
  readonly model: ProgrammingModel
  /** Shared by all hooks for as long as the app runs. */
  readonly appHookData: Record<string, unknown>
}

export type LoadOptions = {
  readonly entryFiles: readonly string[]
  readonly routePrefix: string
  readonly env: Environment
}

/**
 * Loads the files in order. Stricter than the real host, which starts without functions when a file throws: every file
 * must load, and what it registers must be something that can run. Throws `ConfigError` with all problems.
 */
export async function loadFunctionApp({ entryFiles, routePrefix, env }: LoadOptions): Promise<FunctionApp> {
  const problems: string[] = []
  const loaded: Registrations[] = []
  for (const file of entryFiles) {
    try {
      loaded.push(await loadEntryFile(file))
    } catch (error) {
      problems.push(`entry file ${file}: expected it to load, got ${toError(error).message}`)
    }
  }
  const functions: AppFunction[] = []
  const names = new Set<string>()
  for (const { metadata, callback } of loaded.flatMap((registrations) => registrations.functions)) {
    const parsed = metadataSchema.safeParse(metadata)
    if (!parsed.success) {
      problems.push(`function: expected a name and bindings, got ${sample(metadata)} (${parsed.error.message})`)
      continue
    }
    const { name } = parsed.data
    if (names.has(name.toLowerCase())) problems.push(`function ${name}: expected one of that name, got two`)
    names.add(name.toLowerCase())
    if (/^(true|1)$/i.test(env[`AzureWebJobs.${name}.Disabled`] ?? '')) continue
    try {
      functions.push({ name, metadata, callback, trigger: parseTrigger(parsed.data, routePrefix, env) })
    } catch (error) {
      const reasons = error instanceof ConfigError ? error.problems : [toError(error).message]
      problems.push(...reasons.map((reason) => `function ${name}: ${reason}`))
    }
  }
  const model = programmingModel()
  if (problems.length === 0 && (names.size === 0 || !model)) {
    problems.push(
      `entry files ${entryFiles.join(', ') || '(none)'}: expected at least one function, got none; a file that was ` +
        'imported before the host started registers nothing',
    )
  }
  if (problems.length > 0 || !model) throw new ConfigError(problems)
  const hooks = loaded.flatMap((registrations) => registrations.hooks)
  return {
    functions,
    hooks: (name) => hooks.filter((hook) => hook.name === name).map((hook) => hook.callback),
    model,
    appHookData: {},
  }
}

/** The functions of one kind of trigger. */
export function functionsOf<K extends Trigger['kind']>(
  app: FunctionApp,
  kind: K,
): readonly AppFunction<Extract<Trigger, { kind: K }>>[] {
  const isOfKind = (candidate: AppFunction): candidate is AppFunction<Extract<Trigger, { kind: K }>> =>
    candidate.trigger.kind === kind
  return app.functions.filter(isOfKind)
}
