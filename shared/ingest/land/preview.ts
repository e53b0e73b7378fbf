import { setTimeout as sleep } from 'node:timers/promises'
import type { Column, Dataset } from '../../datasets/contract.ts'
import { createRecordSink, type ParsedPage, type Reject } from '../../datasets/record-sink.ts'
import { columnOf } from '../../datasets/row-batch.ts'
import { CancelledError, ConfigError, ThrottledError } from '../../errors.ts'
import type { HttpAnswer } from '../../http/exchange.ts'
import { formatDate, formatInstant, MICROS_PER_SECOND } from '../../instant.ts'
import { sample } from '../../json.ts'
import type { Platform } from '../../platform.ts'
import {
  httpRequestOf,
  type PageVerdict,
  type ProviderRequest,
  type ProviderSource,
  type Window,
} from '../../sources/contract.ts'
import { keepable } from '../../sources/lossless-json.ts'
import type { SelectedStream } from '../plan/select-streams.ts'
import { fieldsNotRead } from './preview-fields.ts'

export type PreviewRequest = {
  readonly stream: SelectedStream
  readonly window: Window
  readonly pagesMax: number
  /** How long rate tokens may be waited for, ms. */
  readonly waitMsMax: number
  readonly signal: AbortSignal
}

export type PreviewPage = {
  /** Without secrets. */
  readonly request: { readonly method: string; readonly url: string }
  readonly status: number
  readonly contentType: string | null
  readonly bytes: number
  readonly records: number | null
  readonly verdict: PageVerdict['kind']
  /** What the source has against it, with the beginning of the body; null for a page. */
  readonly problem: string | null
}

export type PreviewRow = Readonly<Record<string, string | number | null>>

export type Preview = {
  readonly stream: string
  readonly window: Window
  readonly pages: readonly PreviewPage[]
  readonly records: number
  readonly rowCount: number
  readonly rows: readonly PreviewRow[]
  /** Records outside the window: kept in raw, not curated. */
  readonly outside: number
  readonly rejectCount: number
  readonly rejects: readonly (Reject & { readonly page: number })[]
  /** Top-level fields of the records that the source does not read. */
  readonly fieldsNotRead: readonly string[]
  /** Columns of the dataset that no row has a value in. */
  readonly columnsWithoutValue: readonly string[]
  /** What limits left out. */
  readonly cut: readonly string[]
}

const ROWS_SHOWN = 5
const REJECTS_SHOWN = 10
const BODY_SHOWN_BYTES = 500
const THROTTLE_WAIT_MS_DEFAULT = 1_000

/**
 * Asks the provider for a window as `land` would and parses the answer as `curate` would, and keeps nothing: no raw page
 * and no row. Only the shared quota counts its requests. Throws ConfigError, ThrottledError where the quota is used up,
 * and what the network throws.
 */
export async function previewStream(platform: Platform, request: PreviewRequest): Promise<Preview> {
  const { stream, pagesMax } = request
  const { source, bound } = bindStream(platform, stream)
  const { window, cut } = cutWindow(request, source)
  const pages: PreviewPage[] = []
  const parsed: ParsedPage[] = []
  const ignored = new Set<string>()
  let token: string | null = null
  while (pages.length < pagesMax) {
    const asked = bound.request(window, token)
    const answer = await ask(platform, source, asked, request)
    const verdict = bound.page(answer)
    if (verdict.kind === 'throttled') throw await throttled(platform, source, verdict)
    pages.push(describePage(platform, source, { asked, answer, verdict }))
    if (verdict.kind !== 'page') break
    const sink = createRecordSink(source.dataset)
    bound.records(answer.body, sink)
    parsed.push(sink.finish())
    for (const field of fieldsNotRead(source.dataset, bound, answer.body)) ignored.add(field)
    token = verdict.next
    if (token === null) break
  }
  if (token !== null) cut.push(`pages: the provider has more than the ${pages.length} that were asked for (--pages)`)
  return {
    stream: stream.name,
    window,
    pages,
    ...sumUp(source.dataset, window, parsed),
    fieldsNotRead: [...ignored],
    cut,
  }
}

function bindStream(platform: Platform, { name, source: id, params }: SelectedStream) {
  const source = platform.sources.get(id)
  if (source?.kind !== 'provider') {
    const got = source === undefined ? `the unknown source ${id}` : `files of ${id}`
    throw new ConfigError([`stream ${name}: expected one of a provider that can be asked, got ${got}`])
  }
  const { missing } = platform.sourceSettings(source)
  if (missing.length > 0) {
    throw new ConfigError([`source ${id}: expected the settings ${missing.join(', ')}, got none`])
  }
  return { source, bound: source.bind(params) }
}

/** At most what one ingest would ask for, from the newest end as the planner cuts. */
function cutWindow({ stream, window, pagesMax }: PreviewRequest, { pagesMax: pagesOfSource }: ProviderSource) {
  const cut: string[] = []
  const lo = window.hi - BigInt(stream.maxWindowS) * MICROS_PER_SECOND
  if (window.lo < lo) {
    cut.push(
      `window: ${formatInstant(window.lo)} … ${formatInstant(lo)} is left out, one ingest has at most ${stream.maxWindowS / 86_400} days`,
    )
  }
  if (pagesMax > pagesOfSource) cut.push(`pages: one ingest has at most ${pagesOfSource}, its window would be split`)
  return { window: { lo: window.lo < lo ? lo : window.lo, hi: window.hi }, cut }
}

async function ask(
  platform: Platform,
  source: ProviderSource,
  asked: ProviderRequest,
  { signal, waitMsMax }: PreviewRequest,
): Promise<HttpAnswer> {
  const { baseUrl, credentials } = platform.sourceSettings(source)
  let waitedMs = 0
  for (;;) {
    if (signal.aborted) throw new CancelledError('preview: told to stop')
    const { waitMs } = await platform.budgets.reserve(platform.db, source.budget, 'live')
    if (waitMs === 0) break
    waitedMs += waitMs
    if (waitedMs > waitMsMax) {
      const message = `quota of ${source.id}: expected a token within ${waitMsMax} ms, there is none for ${waitMs} ms`
      throw new ThrottledError(message, { retryAfterMs: waitMs })
    }
    await sleep(waitMs, undefined, { signal }).catch(() => undefined)
  }
  const request = httpRequestOf(baseUrl, asked, source.authorize(asked, credentials))
  return platform.http(request, { signal, bodyBytesMax: source.bodyBytesMax })
}

/** Every instance hears of it, as if an ingest had been told. */
async function throttled(
  platform: Platform,
  { id, budget }: ProviderSource,
  { retryAfterMs, detail }: Extract<PageVerdict, { kind: 'throttled' }>,
): Promise<ThrottledError> {
  const waitMs = retryAfterMs ?? THROTTLE_WAIT_MS_DEFAULT
  await platform.budgets.block(platform.db, budget, waitMs)
  return new ThrottledError(`${id}: expected an answer, was told to slow down for ${waitMs} ms (${detail})`, {
    retryAfterMs: waitMs,
  })
}

type Exchange = {
  readonly asked: ProviderRequest
  readonly answer: HttpAnswer
  readonly verdict: PageVerdict
}

function describePage(platform: Platform, source: ProviderSource, { asked, answer, verdict }: Exchange): PreviewPage {
  const { subject } = httpRequestOf(platform.sourceSettings(source).baseUrl, asked, asked)
  const page = {
    request: { method: asked.method, url: subject },
    status: answer.status,
    contentType: answer.headers['content-type'] ?? null,
    bytes: answer.body.byteLength,
    verdict: verdict.kind,
  }
  if (verdict.kind === 'page') return { ...page, records: verdict.records, problem: null }
  const body = sample(new TextDecoder().decode(answer.body.subarray(0, BODY_SHOWN_BYTES)), BODY_SHOWN_BYTES)
  const problem = platform.settings.secrets.reduce(
    (text, secret) => (secret.length < 6 ? text : text.replaceAll(secret, '[redacted]')),
    `${verdict.detail}; the body begins: ${body}`,
  )
  return { ...page, records: null, problem }
}

function sumUp(dataset: Dataset, window: Window, parsed: readonly ParsedPage[]) {
  const rejects = parsed.flatMap((page, index) => page.rejects.map((reject) => ({ ...reject, page: index })))
  const rows: PreviewRow[] = []
  const filled = new Set<string>()
  let rowCount = 0
  let outside = 0
  for (const page of parsed) {
    const times = columnOf(page.rows, dataset.eventTime) as BigInt64Array
    for (let row = 0; row < page.rows.rowCount; row++) {
      const time = times[row] as bigint
      if (time < window.lo || time >= window.hi) {
        outside++
        continue
      }
      rowCount++
      for (const { name } of dataset.columns) if (page.rows.columns[name]?.[row] != null) filled.add(name)
      if (rows.length < ROWS_SHOWN) rows.push(rowOf(dataset, page, row))
    }
  }
  return {
    records: parsed.reduce((sum, page) => sum + page.records, 0),
    rowCount,
    rows,
    outside,
    rejectCount: rejects.length,
    rejects: rejects.slice(0, REJECTS_SHOWN).map((reject) => ({ ...reject, record: keepable(reject.record) })),
    columnsWithoutValue:
      rowCount === 0 ? [] : dataset.columns.map(({ name }) => name).filter((name) => !filled.has(name)),
  }
}

function rowOf(dataset: Dataset, { rows }: ParsedPage, row: number): PreviewRow {
  const cells = dataset.columns.map(
    (column) => [column.name, cellOf(column, rows.columns[column.name]?.[row])] as const,
  )
  return Object.fromEntries(cells)
}

function cellOf({ type }: Column, value: unknown): string | number | null {
  if (value === null || value === undefined) return null
  if (typeof value === 'bigint') return type === 'instant' ? formatInstant(value) : value.toString()
  if (typeof value === 'number') return type === 'date' ? formatDate(value) : value
  return String(value)
}
