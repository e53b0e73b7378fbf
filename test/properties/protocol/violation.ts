export type Promised = 'I1' | 'I2' | 'I3' | 'I4' | 'I5' | 'I6' | 'I7' | 'progress'

/** A promise of the product is broken in this state of the model. */
export class Violation extends Error {
  override readonly name = 'Violation'

  constructor(promise: Promised, message: string) {
    super(`${promise}: ${message}`)
  }
}
