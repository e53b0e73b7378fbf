import { FAULTS, type FaultKind } from '../support/faulty-io.ts'
import { describeCrashes } from './crash-matrix.ts'
import { QUICK } from './scenarios.ts'

// Every sixth operation with one fault, the faults taking turns; all of them at all operations in test/long.
const EVERY = 6
for (const scenario of QUICK) {
  describeCrashes(scenario, (at) => (at % EVERY === 0 ? [FAULTS[(at / EVERY) % FAULTS.length] as FaultKind] : []))
}
