import { defineConfig } from 'vitest/config'
import { SummaryReporter } from './test/support/summary-reporter.ts'
import config from './vitest.config.ts'

/** What needs more than the five minutes of `npm test`. */
export default defineConfig({
  test: {
    ...config.test,
    include: ['test/long/**/*.test.ts', 'test/docs/add-a-source.test.ts'],
    exclude: ['**/node_modules/**'],
    reporters: ['default', new SummaryReporter()],
  },
})
