/**
 * One bit pattern per value: every NaN is the quiet NaN without payload, and −0 is 0. Else equal rows could have
 * different bytes, and readers order and compare −0 and NaN each in its own way.
 */
export function canonicalDouble(value: number): number {
  return Number.isNaN(value) ? Number.NaN : value + 0
}

/** The same array where there is nothing to mend, so that the common case costs one pass and no memory. */
export function canonicalDoubles(values: Float64Array): Float64Array {
  for (let row = 0; row < values.length; row++) {
    const value = values[row] as number
    if (Number.isNaN(value) || Object.is(value, -0)) return Float64Array.from(values, canonicalDouble)
  }
  return values
}

export function equalDoubles(a: number, b: number): boolean {
  return a === b || (Number.isNaN(a) && Number.isNaN(b))
}
