import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import { openContainer } from '../../shared/azure/blobs.ts'
import { withoutHook } from '../../shared/io-hook.ts'
import { METADATA_QUEUE } from '../../shared/metadata/outbox/bus.ts'
import { openPlatform, type Platform } from '../../shared/platform.ts'
import { sha256Hex } from '../../shared/sha256.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { type CommandOptions, type Ran, runCommand } from './run-command.ts'

export type MetadataBench = {
  readonly platform: Platform
  /** `tributary metadata …`, the words parted by a space. */
  readonly run: (words: string, ...more: string[]) => Promise<Ran>
  readonly runWith: (options: CommandOptions, ...words: string[]) => Promise<Ran>
  /** Another platform on the same services. */
  readonly open: (env: Readonly<Record<string, string>>) => Platform
  /** Path of a file that holds the text, or the records as JSON lines. */
  readonly file: (content: string | readonly unknown[]) => Promise<string>
  readonly query: <Row>(text: string, values?: readonly unknown[]) => Promise<Row[]>
  /** Rows of the audit about what matches. */
  readonly audited: (pattern: string) => Promise<readonly string[]>
}

/** Call it at the top of a test file's describe. */
export function useMetadataCommands(): MetadataBench {
  const environment = useTestEnvironment()
  const opened: Platform[] = []
  let folder = ''
  let files = 0
  const open = (env: Readonly<Record<string, string>>) => {
    const { databaseUrl: DATABASE_URL, storageConnectionString: AzureWebJobsStorage } = environment
    const platform = openPlatform({
      env: { DATABASE_URL, AzureWebJobsStorage, METADATA_TENANT: 'ours', ...env },
      sink: () => undefined,
    })
    opened.push(platform)
    return platform
  }
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tributary-metadata-'))
    const { settings, queues } = open({})
    await queues.ensure(METADATA_QUEUE)
    for (const container of ['metadata', 'raw', 'archive']) {
      await openContainer({ account: settings.lakeStorage, container, hook: withoutHook }).ensure()
    }
  })
  afterAll(async () => {
    for (const platform of opened) await platform.close()
    await rm(folder, { recursive: true, force: true })
  })
  const main = () => opened[0] as Platform
  const query = <Row>(text: string, values: readonly unknown[] = []) =>
    main().db.query<Row>({ name: `test ${sha256Hex(text)}`.slice(0, 60), text }, values)
  return {
    get platform() {
      return main()
    },
    open,
    run: (words, ...more) => runCommand(main(), ['metadata', ...words.split(' '), ...more]),
    runWith: (options, ...words) => runCommand(main(), ['metadata', ...words], options),
    async file(content) {
      const path = join(folder, `${++files}.json`)
      const text = typeof content === 'string' ? content : content.map((record) => JSON.stringify(record)).join('\n')
      await writeFile(path, text)
      return path
    },
    query,
    async audited(pattern) {
      const rows = await query<{ line: string }>(
        `select concat_ws(' ', actor, action, subject, after ->> 'reason') as line from ops.audit
          where concat_ws(' ', action, subject) like $1::text order by audit_id`,
        [pattern],
      )
      return rows.map(({ line }) => line)
    },
  }
}
