export type Promised =
  | 'lost'
  | 'twice'
  | 'answer'
  | 'order'
  | 'latest'
  | 'feed'
  | 'zombie'
  | 'table'
  | 'rollup'
  | 'compaction'
  | 'progress'

/** A promise of the metadata platform is broken in this state of the model. */
export class Violation extends Error {
  override readonly name = 'Violation'

  constructor(promise: Promised, message: string) {
    super(`${promise}: ${message}`)
  }
}
