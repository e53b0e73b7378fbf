// DuckDB alone, on one thread: raw pages in a folder, `<observed at, µs>_<first 16 hex digits of the sha256>.json.gz`, to
// the same rows and columns in the same partitions, in key order. It looks for no key twice and merges into nothing.

import { DuckDBInstance } from '@duckdb/node-api'

const [raw, curated] = process.argv.slice(2)
const connection = await (await DuckDBInstance.create(':memory:', { threads: '1' })).connect()
await connection.run(`set timezone = 'UTC'`)
// Fewer than there are partitions would cut some in two.
await connection.run('set partitioned_write_max_open_files = 100000')
await connection.run(`
copy (
  with pages as (
    select unnest(map_entries(bars)) as of_symbol, parse_filename(filename) as name
      from read_json('${raw}/*.json.gz', format = 'unstructured', maximum_object_size = 33554432, filename = true,
        columns = {bars: 'map(varchar, struct(t timestamp, o double, h double, l double, c double, v double, n bigint, vw double)[])'})
  ),
  bars as (
    select of_symbol.key as symbol, name, unnest(of_symbol.value) as bar,
           generate_subscripts(of_symbol.value, 1) - 1 as ordinal
      from pages
  )
  select bar.t at time zone 'UTC' as ts, (bar.t - interval 4 hours)::date as session_date,
         bar.o as open, bar.h as high, bar.l as low, bar.c as close, bar.v as volume, symbol, '1m' as timeframe,
         'alpaca' as source, 'raw' as adjustment, bar.n as trade_count, bar.vw as vwap,
         make_timestamptz(split_part(name, '_', 1)::bigint) as _observed_at,
         name[18:33] as _raw_sha256, ordinal::int as _raw_row,
         symbol as subject, year(bar.t) as year, month(bar.t) as month
    from bars order by symbol, bar.t
) to '${curated}' (format parquet, compression snappy, partition_by (subject, year, month))`)
connection.closeSync()
