import Module from 'node:module'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import {
  type FunctionCallback,
  HOOK_NAMES,
  type HookCallback,
  type HookName,
  type ProgrammingModel,
} from './core-api.ts'
import type { HostLog, HostLogLevel } from './host-log.ts'

/**
 * Plays the built-in module `@azure/functions-core`, as the Node worker does. The library asks for it once per process
 * and keeps the answer, so there is one core object, and it must be in place before any function file is imported.
 * A file runs once per process too: what it registered is remembered for every later host of the same process.
 */
export type Registrations = {
  readonly functions: { readonly metadata: unknown; readonly callback: FunctionCallback }[]
  readonly hooks: { readonly name: HookName; readonly callback: HookCallback }[]
}

const byFile = new Map<string, Registrations>()
const systemLogs = new Set<HostLog>()
let loading: Promise<unknown> = Promise.resolve()
let open: Registrations | undefined
let model: ProgrammingModel | undefined
let installed = false

/** Imports one entry file and returns what it registered. Files are loaded one after another, as in the worker. */
export function loadEntryFile(file: string): Promise<Registrations> {
  install()
  const url = pathToFileURL(resolve(file)).href
  const load = async () => {
    const known = byFile.get(url)
    if (known) return known
    const registrations: Registrations = { functions: [], hooks: [] }
    open = registrations
    try {
      await import(/* @vite-ignore */ url)
    } finally {
      open = undefined
    }
    byFile.set(url, registrations)
    return registrations
  }
  const loaded = loading.then(load)
  loading = loaded.catch(() => undefined)
  return loaded
}

/** The library's side of an invocation; undefined until a file has registered something through the library. */
export function programmingModel(): ProgrammingModel | undefined {
  return model
}

/** Takes what the library logs outside of invocations; the answer ends it. */
export function listenToLibrary(log: HostLog): () => void {
  systemLogs.add(log)
  return () => systemLogs.delete(log)
}

class Disposable {
  readonly #onDispose: () => void

  constructor(onDispose: () => void) {
    this.#onDispose = onDispose
  }

  static from(...disposables: { dispose: () => void }[]): Disposable {
    return new Disposable(() => {
      for (const disposable of disposables) disposable.dispose()
    })
  }

  dispose(): void {
    this.#onDispose()
  }
}

const core = {
  version: '3.9.1',
  hostVersion: '4.1040.0',
  Disposable,
  registerFunction(metadata: unknown, callback: FunctionCallback): Disposable {
    return register(openRegistrations('a function').functions, { metadata, callback })
  },
  registerHook(name: string, callback: HookCallback): Disposable {
    const known = HOOK_NAMES.find((hook) => hook === name)
    if (known === undefined) throw new UnknownHookError(name)
    return register(openRegistrations(`the hook ${name}`).hooks, { name: known, callback })
  },
  setProgrammingModel(value: ProgrammingModel): void {
    model = value
  },
  getProgrammingModel: () => model,
  log(level: HostLogLevel, category: 'user' | 'system', message: string): void {
    for (const log of systemLogs) log({ level, category, message })
  },
}

/** The library tells it from other errors by these two fields. */
class UnknownHookError extends Error {
  override readonly name = 'RangeError'
  readonly isAzureFunctionsSystemError = true

  constructor(name: string) {
    super(`hook: expected one of ${HOOK_NAMES.join(', ')}, got ${name}`)
  }
}

function register<T>(list: T[], item: T): Disposable {
  list.push(item)
  return new Disposable(() => {
    const index = list.indexOf(item)
    if (index >= 0) list.splice(index, 1)
  })
}

function openRegistrations(what: string): Registrations {
  if (open) return open
  throw new Error(`${what} was registered after its entry file had been loaded: register it while the file runs`)
}

// Node publishes no type for the loader it has had since its first release, and no other place to answer `require` of
// a name that is no package. `Module.prototype.require`, which the worker replaces, ends up here.
type Loader = { _load: (id: string, ...rest: unknown[]) => unknown }

function install(): void {
  if (installed) return
  installed = true
  const loader = Module as unknown as Loader
  const load = loader._load
  loader._load = function (id, ...rest) {
    return id === '@azure/functions-core' ? core : load.call(this, id, ...rest)
  }
}
