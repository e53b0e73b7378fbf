/** The values that are not null, ready to be written, and where the others are. */
export type ColumnValues = {
  readonly rowCount: number
  readonly nullCount: number
  /** One per row, 0 for null; undefined where the contract allows no null. */
  readonly levels: Uint8Array | undefined
  readonly present: PresentValues
}

export type PresentValues =
  | { readonly kind: 'int64'; readonly values: BigInt64Array }
  | { readonly kind: 'int32'; readonly values: Int32Array }
  | { readonly kind: 'double'; readonly values: Float64Array }
  /** Distinct texts in the order of first use, and the number of each value among them. */
  | { readonly kind: 'text'; readonly dictionary: readonly string[]; readonly numbers: Int32Array }
