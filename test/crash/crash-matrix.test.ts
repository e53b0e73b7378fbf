import { FAULTS, type FaultKind } from '../support/faulty-io.ts'
import { describeCrashes } from './crash-matrix.ts'
import { SCENARIOS } from './scenarios.ts'

// Every operation with one fault, the faults taking turns; all of them at all operations in test/long.
for (const scenario of SCENARIOS) describeCrashes(scenario, (at) => [FAULTS[at % FAULTS.length] as FaultKind])
