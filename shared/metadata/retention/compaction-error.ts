import { PermanentError } from '../../errors.ts'

/** Something is not as the compactor planned it. It has stopped, nothing is lost, and a person must look. */
export class CompactionStoppedError extends PermanentError {
  override readonly name = 'CompactionStoppedError'
}
