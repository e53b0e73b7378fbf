import { describeSchedules } from '../crash/random-schedules.ts'
import { describeRestarts } from '../crash/random-schedules-restarts.ts'

const FILE = '--config vitest.long.config.ts test/long/random-schedules.test.ts'

describeSchedules({ count: Number(process.env.TRIBUTARY_SCHEDULES ?? 1_000), file: FILE, timeoutMs: 2_000_000 })

// Each waits for its servers to come back.
describeRestarts({ count: Number(process.env.TRIBUTARY_RESTARTS ?? 30), file: FILE })
