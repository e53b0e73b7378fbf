// What a person would write first: page after page, JSON.parse, a row object for every bar, one Parquet file a month. No
// raw pages, no retry, no second symbol at the same time, nothing in case it is stopped halfway or run again.

import { mkdir } from 'node:fs/promises'
import parquet from 'parquetjs-lite'

const [url, folder, from, until, ...symbols] = process.argv.slice(2)
const headers = { 'apca-api-key-id': 'test-key-id', 'apca-api-secret-key': 'test-secret-key' }

const double = { type: 'DOUBLE', compression: 'SNAPPY' }
const text = { type: 'UTF8', compression: 'SNAPPY' }
const schema = new parquet.ParquetSchema({
  ts: { type: 'TIMESTAMP_MILLIS', compression: 'SNAPPY' },
  session_date: { type: 'DATE', compression: 'SNAPPY' },
  open: double,
  high: double,
  low: double,
  close: double,
  volume: double,
  symbol: text,
  timeframe: text,
  source: text,
  adjustment: text,
  trade_count: { type: 'INT64', compression: 'SNAPPY' },
  vwap: double,
})

for (const symbol of symbols) {
  for (const [start, end] of months(from, until)) {
    const [year, month] = start.split('-')
    const path = `${folder}/symbol=${symbol}/year=${year}/month=${month}`
    await mkdir(path, { recursive: true })
    const writer = await parquet.ParquetWriter.openFile(schema, `${path}/data.parquet`)
    for await (const bar of bars(symbol, start, end)) {
      const ts = new Date(bar.t)
      await writer.appendRow({
        ts,
        session_date: new Date(ts.getTime() - 4 * 3_600_000),
        open: bar.o,
        high: bar.h,
        low: bar.l,
        close: bar.c,
        volume: bar.v,
        symbol,
        timeframe: '1m',
        source: 'alpaca',
        adjustment: 'raw',
        trade_count: bar.n,
        vwap: bar.vw,
      })
    }
    await writer.close()
  }
}

async function* bars(symbol, start, end) {
  let token = null
  do {
    const query = new URLSearchParams({ symbols: symbol, timeframe: '1Min', start, end, limit: '10000', feed: 'iex' })
    if (token !== null) query.set('page_token', token)
    const answer = await fetch(`${url}/v2/stocks/bars?${query}`, { headers })
    if (!answer.ok) throw new Error(`bars of ${symbol} from ${start}: got http ${answer.status}`)
    const page = JSON.parse(await answer.text())
    yield* page.bars[symbol] ?? []
    token = page.next_page_token
  } while (token !== null)
}

/** Both ends of each are inclusive, as the provider's are. */
function* months(from, until) {
  for (let start = from; start < until; ) {
    const [year, month] = start.split('-').map(Number)
    const next = new Date(Date.UTC(year, month, 1)).toISOString().slice(0, 10)
    const end = next < until ? next : until
    yield [start, new Date(Date.parse(end) - 1_000).toISOString().replace('.000', '')]
    start = end
  }
}
