import { describeSchedules } from './random-schedules.ts'

// A thousand of them in test/long.
describeSchedules({
  count: Number(process.env.TRIBUTARY_SCHEDULES ?? 100),
  file: 'test/crash/random-schedules.test.ts',
  timeoutMs: 600_000,
})
