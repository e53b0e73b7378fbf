import { defineConfig } from 'vitest/config'
import config from './vitest.config.ts'

// A million records do not fit into what the tests' server has.
process.env.TRIBUTARY_TEST_SHARED_BUFFERS ??= '512MB'

/**
 * `npm run bench`: measures, and asserts nothing about time. One file at a time, or they would measure each other;
 * `npm run bench -- metadata` runs one.
 */
export default defineConfig({
  test: {
    ...config.test,
    include: ['test/bench/*.bench.ts'],
    exclude: ['**/node_modules/**'],
    maxWorkers: 1,
    fileParallelism: false,
    testTimeout: 3_600_000,
    hookTimeout: 600_000,
    reporters: ['default'],
  },
})
