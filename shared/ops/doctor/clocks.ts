import type { StorageAccount } from '../../azure/storage-account.ts'
import type { Platform } from '../../platform.ts'
import type { Statement } from '../../postgres/database.ts'
import { type Check, type Finding, fail, look, ok } from './check.ts'

const DIFFERENCE_S_MAX = 5

const NOW: Statement = {
  name: 'doctor_clock',
  text: `select extract(epoch from clock_timestamp())::float8 * 1000 as ms`,
}

/** This clock against those of Postgres, which decides about leases and plans, and of storage, which checks signatures. */
export async function checkClocks(platform: Platform, nowMs: () => number): Promise<readonly Check[]> {
  const { db, settings } = platform
  const subject = (of: string) => ({
    name: `clock: ${of}`,
    expected: `within ${DIFFERENCE_S_MAX} s of this machine's`,
    todo: "let this machine's clock follow a time server; storage refuses signatures of another time, logs do not line up",
  })
  return [
    await look(subject('postgres'), settings.secrets, () =>
      compare(nowMs, async () => (await db.query<{ ms: number }>(NOW))[0]?.ms ?? Number.NaN),
    ),
    await look(subject('storage'), settings.secrets, () => compare(nowMs, () => storageMs(platform))),
  ]
}

/** Read halfway of the round trip. */
async function compare(nowMs: () => number, otherMs: () => Promise<number>): Promise<Finding> {
  const before = nowMs()
  const other = await otherMs()
  const differenceS = Math.round(other - (before + nowMs()) / 2) / 1000
  const got = `${differenceS.toFixed(1)} s`
  return Math.abs(differenceS) <= DIFFERENCE_S_MAX ? ok(got) : fail(got)
}

/** Every answer has a date, also the refusal of a request that nobody signed. It is cut to the second. */
async function storageMs({ http, settings }: Platform): Promise<number> {
  const url = blobServiceOf(settings.lakeStorage)
  const request = { url: `${url}?comp=list`, subject: url, headers: {} }
  const { headers } = await http(request, { signal: new AbortController().signal, bodyBytesMax: 1_000_000 })
  const ms = Date.parse(headers.date ?? '')
  if (Number.isNaN(ms)) throw new Error(`${url}: expected an answer with a date, got none`)
  return ms + 500
}

/** https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string */
export function blobServiceOf(account: StorageAccount): string {
  if (account.kind === 'identity') return withSlash(account.blobServiceUri)
  if (account.connectionString === 'UseDevelopmentStorage=true') return 'http://127.0.0.1:10000/devstoreaccount1/'
  const parts = new Map(
    account.connectionString.split(';').map((part) => {
      const [name = '', ...value] = part.split('=')
      return [name, value.join('=')] as const
    }),
  )
  const endpoint = parts.get('BlobEndpoint')
  if (endpoint) return withSlash(endpoint)
  const protocol = parts.get('DefaultEndpointsProtocol') ?? 'https'
  return `${protocol}://${parts.get('AccountName')}.blob.${parts.get('EndpointSuffix') ?? 'core.windows.net'}/`
}

function withSlash(url: string): string {
  return url.endsWith('/') ? url : `${url}/`
}
