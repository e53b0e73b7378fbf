import { describeCrashes } from '../crash/crashed-ingest.ts'
import { FAULTS } from '../support/faulty-io.ts'

describeCrashes(() => FAULTS)
