import { type BlobContainer, openContainer } from '../../azure/blobs.ts'
import { openTable } from '../../azure/tables.ts'
import { PROGRESS_TABLE, QUEUES } from '../../config/storage-names.ts'
import { withoutHook } from '../../io-hook.ts'
import type { Platform } from '../../platform.ts'
import { PROBE_PATH } from '../../provenance/raw-path.ts'
import { type Check, type Finding, fail, look, ok, warn } from './check.ts'

const PROBE_BODY = new TextEncoder().encode('tributary doctor: raw is written once\n')

/** Are containers and queues there, and is what is in raw written once. */
export async function checkStorage(platform: Platform): Promise<readonly Check[]> {
  const { settings, raw, curated } = platform
  const checks: Check[] = []
  for (const [name, container] of [
    ['raw', raw],
    ['curated', curated],
    ['metadata', openContainer({ account: settings.lakeStorage, container: 'metadata', hook: withoutHook })],
  ] as const) {
    const check = await look(
      {
        name: `storage: container ${name}`,
        expected: 'it is there and may be listed',
        todo: `mend LAKE_STORAGE or AzureWebJobsStorage, the roles of this identity, or create the container ${name}`,
      },
      settings.secrets,
      () => listFinding(container),
    )
    checks.push(check)
    // A storage that does not answer is waited for once.
    if (/did not answer/.test(check.got)) return checks
  }
  if (checks[0]?.status === 'ok') checks.push(await checkProbe(platform))
  for (const queue of QUEUES)
    checks.push(await checkQueue(platform, queue), await checkQueue(platform, `${queue}-poison`))
  checks.push(await checkProgressTable(platform))
  return checks
}

async function listFinding(container: BlobContainer): Promise<Finding> {
  // Told of as a storage that does not answer; a listing is not. Says nothing about the container: none is no blob too.
  await container.head(PROBE_PATH)
  for await (const _ of container.list(PROBE_PATH)) break
  return ok('it is')
}

async function checkProbe({ settings, raw }: Platform): Promise<Check> {
  return look(
    {
      name: 'storage: raw is written once',
      expected: `${PROBE_PATH} can be created, and not again`,
      todo: 'give this identity the custom role of infra/ on raw (read and add); see the parameter rawWriter in docs/deploy.md',
    },
    settings.secrets,
    async () => {
      const first = await putProbe(raw)
      if ((await raw.head(PROBE_PATH)) === null) return fail(`it could not be created (${statusOf(first)})`)
      const second = await putProbe(raw)
      return second.written ? fail('it was created twice') : ok(`refused with ${second.status} the second time`)
    },
  )
}

function putProbe(raw: BlobContainer): ReturnType<BlobContainer['put']> {
  return raw.put(PROBE_PATH, PROBE_BODY, { condition: { kind: 'absent' }, contentType: 'text/plain', metadata: {} })
}

function statusOf(result: Awaited<ReturnType<BlobContainer['put']>>): string {
  return result.written ? 'written' : String(result.status)
}

/** Tells a table that is absent from an empty one only by writing: one row of a fixed key. */
async function checkProgressTable({ settings }: Platform): Promise<Check> {
  const table = openTable({ account: settings.lakeStorage, table: PROGRESS_TABLE })
  return look(
    {
      name: `storage: table ${PROGRESS_TABLE}`,
      expected: 'a row can be written',
      todo: `create the table ${PROGRESS_TABLE} in LAKE_STORAGE, or give this identity the role Table Data Contributor`,
    },
    settings.secrets,
    async () => {
      await table.replace({ partitionKey: 'doctor', rowKey: 'probe', values: {} })
      return ok('it was')
    },
  )
}

async function checkQueue({ settings, queues }: Platform, queue: string): Promise<Check> {
  const isPoison = queue.endsWith('-poison')
  return look(
    {
      name: `storage: queue ${queue}`,
      expected: isPoison ? 'it is there and empty' : 'it is there',
      todo: isPoison
        ? 'create it (the host does by itself with the first poison message); look at what is in it'
        : `create the queue ${queue} in AzureWebJobsStorage, or mend that setting`,
    },
    settings.secrets,
    async () => {
      const depth = await queues.depth(queue)
      if (depth === undefined) return isPoison ? warn('there is none') : fail('there is none')
      const got = `${depth} messages`
      return isPoison && depth > 0 ? warn(got) : ok(got)
    },
  )
}
