import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { useMetadataCommands } from './cli-metadata-bench.ts'

const RUN = { run_id: 'run-1', job_id: 'nightly', source: 'alpaca', schema: 'bars', table: 'TSLA/1d' }
const WINDOW = { window_start: '2024-01-01T00:00:00Z', window_end: '2024-01-02T00:00:00Z' }
const LINES = [
  { ...RUN, event: 'started', ts: '2024-01-02T00:00:00Z' },
  { ...RUN, event: 'completed', ts: '2024-01-02T00:05:00Z', rows: 500, ...WINDOW },
]

describe('metadata import from the command line', () => {
  const bench = useMetadataCommands()
  /** A folder of this test alone, with one file below another folder. */
  const folder = async (name: string, lines: readonly unknown[]) => {
    const path = join(dirname(await bench.file([])), name)
    await mkdir(join(path, 'logs'), { recursive: true })
    await writeFile(join(path, 'logs', 'progress.jsonl'), lines.map((line) => JSON.stringify(line)).join('\n'))
    return path
  }
  const volumes = async (tenant: string) => {
    const ran = await bench.run('query --kind ingestion_volume --json --tenant', tenant)
    return (ran.json() as { records: unknown[] }).records.length
  }

  test('stores what a folder tells, says which file it is at, and the same again changes nothing', async () => {
    const path = await folder('told', LINES)
    const ran = await bench.run('import', path, '--tenant', 'told')
    expect(ran.err).toBe(`file 1 of 1: ${join(path, 'logs', 'progress.jsonl')}\n`)
    expect(ran.out).toMatch(/^1 files: 2 progress\nevents: 2 new, 0 known, 0 replaced\nruns: 1 merged, /)
    expect(ran.code).toBe(0)
    expect(await volumes('told')).toBe(1)
    const again = await bench.run('import', path, '--tenant', 'told', '--json')
    expect(again.json()).toMatchObject({ events: { stored: 0, repeated: 2 }, records: { stored: 0, revised: 0 } })
    expect(await bench.audited(`import_metadata_history ${path}`)).toHaveLength(2)
  })

  test('--dry-run says what there is and writes nothing', async () => {
    const path = await folder('dry', LINES)
    const ran = await bench.run('import --dry-run', path, '--tenant', 'dry')
    expect(ran).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^1 files: 2 progress\ndry run: nothing was written\n/),
    })
    expect(await volumes('dry')).toBe(0)
    expect(await bench.audited(`import_metadata_history ${path}`)).toEqual([])
  })

  test('exits 1 where lines were not taken, and names them', async () => {
    const path = await folder('odd', [...LINES, { hello: 'world' }])
    const { code, out } = await bench.run('import', path, '--tenant', 'odd')
    expect(code).toBe(1)
    expect(out).toMatch(/not taken: 1\n {2}.+progress\.jsonl line 3: expected a property of an artifact/)
    expect(await volumes('odd')).toBe(1)
  })

  test('--samples compares with figures that are known: exit code 1 where they differ', async () => {
    const path = await folder('samples', LINES)
    const place = { source: 'alpaca', schema: 'bars', table: 'TSLA/1d' }
    const sample = (records: number) =>
      bench.file(JSON.stringify([{ ...place, from: '2024-01-01T00:00:00Z', to: '2024-02-01T00:00:00Z', records }]))
    const right = await bench.run('import', path, '--tenant', 'samples', '--samples', await sample(500))
    expect(right).toMatchObject({ code: 0, out: expect.stringContaining('samples: 1 agree, 0 differ\n') })
    const wrong = await bench.run('import', path, '--tenant', 'samples', '--samples', await sample(7))
    expect(wrong.code).toBe(1)
    expect(wrong.out).toContain(
      'alpaca/bars/TSLA/1d 2024-01-01T00:00:00Z … 2024-02-01T00:00:00Z: records expected 7, found 500',
    )
  })

  test('a file that is not there is refused with exit code 2', async () => {
    expect(await bench.run('import /nowhere.json')).toMatchObject({
      code: 2,
      err: expect.stringMatching(/^import: expected to read \/nowhere.json, got ENOENT/),
    })
  })
})
