import { readdir, readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { FUNCTION_TIMEOUT_MS, functionLimits } from '../../shared/config/function-limits.ts'
import { SCHEDULE_DEFAULTS } from '../../shared/config/settings.ts'
import { SOURCES } from '../../shared/sources/registry.ts'

const ROOT = new URL('../../', import.meta.url)
const text = (path: string) => readFile(new URL(path, ROOT), 'utf8')

describe('the functions', () => {
  test('are the nine of the design, each of at most 60 lines and with one trigger', async () => {
    const names = (await readdir(new URL('functions/', ROOT))).sort()
    expect(names).toEqual([
      'curate.ts',
      'land.ts',
      'metadata-api.ts',
      'metadata.ts',
      'plan-ingests.ts',
      'plan-lookbacks.ts',
      'quarantine.ts',
      'status.ts',
      'sweep.ts',
    ])
    for (const name of names) {
      const source = await text(`functions/${name}`)
      expect(source.split('\n').length, name).toBeLessThanOrEqual(60)
      expect(source.match(/\bapp\.(timer|storageQueue|http)\(/g), name).toHaveLength(1)
    }
  })

  test('end themselves before the host of host.json ends them', async () => {
    const { functionTimeout } = z.object({ functionTimeout: z.string() }).parse(JSON.parse(await text('host.json')))
    const [hours = 0, minutes = 0, seconds = 0] = functionTimeout.split(':').map(Number)
    expect((hours * 3600 + minutes * 60 + seconds) * 1000).toBe(FUNCTION_TIMEOUT_MS)
    expect(functionLimits().deadlineMs).toBe(FUNCTION_TIMEOUT_MS - 60_000)
  })
})

describe('the settings', () => {
  const example = async () =>
    z.object({ Values: z.record(z.string(), z.string()) }).parse(JSON.parse(await text('local.settings.example.json')))
      .Values

  test('that code reads are all in local.settings.example.json, and the other way round', async () => {
    const read = new Set([
      'FUNCTIONS_WORKER_RUNTIME',
      'AzureWebJobsStorage',
      'LAKE_STORAGE',
      'TELEMETRY',
      ...Object.keys(SCHEDULE_DEFAULTS),
    ])
    for (const path of ['shared/config/settings.ts', 'shared/config/metadata-settings.ts', 'shared/platform.ts']) {
      for (const [, name = ''] of (await text(path)).matchAll(/(?:env\.|'|[{,] (?=[A-Z_]+:))([A-Z]+_[A-Z_]*[A-Z])\b/g))
        read.add(name)
    }
    for (const source of SOURCES.values()) {
      read.add(`${source.id.toUpperCase()}_BASE_URL`)
      for (const name of source.credentials) read.add(name)
    }
    // Given by Azure, and the parts of settings that the example spells as connection strings.
    for (const name of ['WEBSITE_INSTANCE_ID', 'WEBSITE_RESOURCE_GROUP', 'WEBSITE_SITE_NAME', 'DATABASE_URL'])
      read.delete(name)
    const { DATABASE_URL, ...listed } = await example()
    expect(DATABASE_URL).toBeDefined()
    expect(Object.keys(listed).sort()).toEqual([...read].sort())
  })

  test('in local.settings.example.json have the defaults of the code', async () => {
    expect(await example()).toMatchObject(SCHEDULE_DEFAULTS)
  })
})
