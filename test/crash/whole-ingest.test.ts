import { FAULTS, type FaultKind } from '../support/faulty-io.ts'
import { describeCrashes } from './crashed-ingest.ts'

// Every operation with one fault, the faults taking turns; all of them at all operations in test/long.
describeCrashes((at) => [FAULTS[at % FAULTS.length] as FaultKind])
