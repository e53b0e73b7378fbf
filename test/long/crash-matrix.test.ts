import { describeCrashes } from '../crash/crash-matrix.ts'
import { SCENARIOS } from '../crash/scenarios.ts'
import { FAULTS } from '../support/faulty-io.ts'

for (const scenario of SCENARIOS) describeCrashes(scenario, () => FAULTS)
