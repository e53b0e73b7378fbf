import type { Statistics } from 'hyparquet'
import type { ColumnValues } from './column-values.ts'
import { compareText } from './row-order.ts'

/** NaN is counted and takes no part in the bounds; of these two the writer's type does not know the count yet. */
export type ColumnStatistics = Statistics & { readonly nan_count?: bigint }

/** Bounds and counts of one column of one row group, by which readers skip it. */
export function columnStatistics({ present, nullCount }: ColumnValues): ColumnStatistics {
  const null_count = BigInt(nullCount)
  if (present.kind === 'double') return { ...doubleBounds(present.values), null_count }
  if (present.kind === 'int64') return { ...int64Bounds(present.values), null_count }
  if (present.kind === 'int32') return { ...int32Bounds(present.values), null_count }
  return { ...textBounds(present.dictionary), null_count }
}

/** The format wants −0 as a lower and 0 as an upper bound of zero, whichever zero the column has. */
function doubleBounds(values: Float64Array): ColumnStatistics {
  let min = Number.POSITIVE_INFINITY
  let max = Number.NEGATIVE_INFINITY
  let nans = 0
  for (let index = 0; index < values.length; index++) {
    const value = values[index] as number
    if (value < min) min = value
    if (value > max) max = value
    if (Number.isNaN(value)) nans++
  }
  const nan_count = BigInt(nans)
  if (nans === values.length) return { nan_count }
  return { min_value: min === 0 ? -0 : min, max_value: max === 0 ? 0 : max, nan_count }
}

function int64Bounds(values: BigInt64Array): ColumnStatistics {
  if (values.length === 0) return {}
  let min = values[0] as bigint
  let max = min
  for (let index = 1; index < values.length; index++) {
    const value = values[index] as bigint
    if (value < min) min = value
    if (value > max) max = value
  }
  return { min_value: min, max_value: max }
}

function int32Bounds(values: Int32Array): ColumnStatistics {
  if (values.length === 0) return {}
  let min = values[0] as number
  let max = min
  for (let index = 1; index < values.length; index++) {
    const value = values[index] as number
    if (value < min) min = value
    if (value > max) max = value
  }
  return { min_value: min === 0 ? -0 : min, max_value: max === 0 ? 0 : max }
}

function textBounds(dictionary: readonly string[]): ColumnStatistics {
  const [first] = dictionary
  if (first === undefined) return {}
  let min = first
  let max = first
  for (const text of dictionary) {
    if (compareText(text, min) < 0) min = text
    if (compareText(text, max) > 0) max = text
  }
  return { min_value: min, max_value: max }
}
