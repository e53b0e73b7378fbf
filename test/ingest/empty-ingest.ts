import { bars } from '../../shared/datasets/bars.ts'
import { allColumns } from '../../shared/datasets/contract.ts'
import { concatRows } from '../../shared/datasets/row-batch.ts'
import type { ParsedIngest } from '../../shared/ingest/curate/parse-pages.ts'

/** What pages without a record hold. */
export function emptyIngest(): ParsedIngest {
  return { rows: concatRows(allColumns(bars), []), rejects: [], outside: 0, records: 0 }
}
