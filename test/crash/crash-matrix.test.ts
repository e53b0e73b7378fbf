import { FAULTS, type FaultKind } from '../support/faulty-io.ts'
import { describeCrashes } from './crash-matrix.ts'
import { SCENARIOS } from './scenarios.ts'

// Every fourth operation with one fault, the faults taking turns; all of them at all operations in test/long.
const EVERY = 4
for (const scenario of SCENARIOS) {
  describeCrashes(scenario, (at) => (at % EVERY === 0 ? [FAULTS[(at / EVERY) % FAULTS.length] as FaultKind] : []))
}
