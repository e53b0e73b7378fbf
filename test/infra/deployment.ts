import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { loadEntryFile } from '../../jobs/local/functions-host/core-module.ts'
import { evaluateBicep, type Resource, type Template } from './bicep/evaluate.ts'
import { isUnknown, list, record, text, type Value } from './bicep/functions.ts'

export const ROOT = new URL('../../', import.meta.url)
export const readText = (path: string) => readFileSync(new URL(path, ROOT), 'utf8')
export const readJson = (path: string) => record(JSON.parse(readText(path)))

type Params = Readonly<Record<string, Value>>

const ASKED: Params = { environmentName: 'test', location: 'westeurope', principalId: 'the-deploying-one' }

/** What `azd provision` deploys, with the defaults of the templates unless `params` say otherwise. */
export function deployMain(params: Params = {}): Template {
  return evaluateBicep(new URL('infra/main.bicep', ROOT), { ...ASKED, ...params })
}

/** What `azd deploy jobs` deploys: its parameters come from the outputs of main.bicep, as azd hands them on. */
export function deployJobs(params: Params = {}): Template {
  const { outputs } = deployMain(params)
  const known: Params = { ...outputs, AZURE_ENV_NAME: 'test', SERVICE_JOBS_IMAGE_NAME: 'registry/jobs:1' }
  return evaluateBicep(new URL('infra/jobs.bicep', ROOT), parametersOf('infra/jobs.parameters.json', known))
}

/** A parameters file with its `${NAME}` and `${NAME=default}` filled in; throws where a name is known to nobody. */
function parametersOf(path: string, known: Params): Params {
  const filled = Object.entries(record(readJson(path).parameters)).map(([name, parameter]) => {
    const [, variable = '', fallback] = /^\$\{(\w+)(?:=(.*))?\}$/.exec(text(record(parameter).value)) ?? []
    const value = known[variable] ?? fallback
    if (value === undefined) throw new Error(`${path} ${name}: expected a value of main.bicep, got ${variable}`)
    return [name, value] as const
  })
  return Object.fromEntries(filled)
}

/** Names of the variables of azd's environment that a parameters file reads. */
export function variablesOf(path: string): readonly string[] {
  return [...readText(path).matchAll(/\$\{(\w+)/g)].map(([, name = '']) => name)
}

export function ofType({ resources }: Template, type: string): readonly Resource[] {
  return resources.filter((resource) => resource.type === type)
}

export function onlyOne(template: Template, type: string, symbol?: string): Resource {
  const found = ofType(template, type).filter((resource) => symbol === undefined || resource.symbol === symbol)
  const [resource] = found
  if (resource === undefined || found.length > 1) throw new Error(`${type}: expected one, got ${found.length}`)
  return resource
}

/** Properties of a resource, or of a property of it: `propertiesOf(site, 'siteConfig')`. */
export function propertiesOf({ body }: Resource, ...path: readonly string[]): Readonly<Record<string, Value>> {
  return path.reduce((value, key) => record(value[key]), record(body.properties))
}

/** Application settings of the function app. */
export function functionSettings(template: Template): Readonly<Record<string, string>> {
  const { appSettings } = propertiesOf(onlyOne(template, 'Microsoft.Web/sites'), 'siteConfig')
  return Object.fromEntries(
    list(appSettings).map((setting) => [text(record(setting).name), text(record(setting).value)]),
  )
}

export type Job = {
  readonly env: Readonly<Record<string, string>>
  readonly configuration: Readonly<Record<string, Value>>
  readonly command: readonly Value[]
}

export function jobOf(template: Template, symbol: string): Job {
  const job = onlyOne(template, 'Microsoft.App/jobs', symbol)
  const container = record(list(propertiesOf(job, 'template').containers)[0])
  const env = list(container.env).map((entry) => {
    const { name, value, secretRef } = record(entry)
    return [text(name), secretRef === undefined ? text(value) : `secret ${text(secretRef)}`] as const
  })
  return {
    env: Object.fromEntries(env),
    configuration: propertiesOf(job, 'configuration'),
    command: list(container.command),
  }
}

export type Trigger = { readonly functionName: string; readonly binding: Readonly<Record<string, Value>> }

/** The trigger of every compiled function, as the Functions host is told. */
export async function readTriggers(): Promise<readonly Trigger[]> {
  const folder = fileURLToPath(new URL('dist/functions/', ROOT))
  // The compiler never removes: only what still has its source is a function.
  const names = readdirSync(new URL('functions/', ROOT)).map((name) => name.replace(/\.ts$/, '.js'))
  const triggers: Trigger[] = []
  for (const name of names) {
    for (const { metadata } of (await loadEntryFile(`${folder}${name}`)).functions) {
      const { name: functionName, bindings } = record(metadata as Value)
      const trigger = Object.values(record(bindings)).find((binding) => /trigger$/i.test(text(record(binding).type)))
      triggers.push({ functionName: text(functionName), binding: record(trigger) })
    }
  }
  return triggers
}

/** Every text in a value, however deep. */
export function textsIn(value: Value): readonly string[] {
  if (typeof value === 'string') return [value]
  if (typeof value !== 'object' || value === null || isUnknown(value)) return []
  return Object.values(value).flatMap(textsIn)
}
