import { defineConfig } from 'vitest/config'
import { SummaryReporter } from './test/support/summary-reporter.ts'

export default defineConfig({
  test: {
    environment: 'node',
    include: ['test/**/*.test.ts'],
    // What needs more than five minutes is `npm run test:long`; the page on a new source builds a copy of the project.
    exclude: ['test/long/**', 'test/docs/add-a-source.test.ts', '**/fixtures/**', '**/node_modules/**'],
    globalSetup: ['test/support/global-stack.ts'],
    // Real servers and child processes: a process per file keeps one file's signals and exit handlers from another's.
    pool: 'forks',
    // Much of a test is waiting: three took 407 s on two cores, two took 539 s beside other work.
    maxWorkers: 3,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    reporters: ['default', new SummaryReporter()],
  },
})
