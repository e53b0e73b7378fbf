import { appendFileSync } from 'node:fs'
import type { SerializedError } from 'vitest'
import type { Reporter, TestModule } from 'vitest/node'

export type Summary = { readonly passed: number; readonly failed: number; readonly skipped: number }

/**
 * Prints `N passed, N failed` alone on the last line, and appends the numbers to the file that TRIBUTARY_TEST_SUMMARY
 * names, so that `.ci/run` can add up several runs. What failed outside a test (a file that does not load, a hook, an
 * unhandled rejection) counts as one failure each: a run that is not green never says `0 failed`.
 */
export class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): void {
    const summary = summarize(modules, unhandledErrors.length)
    console.log(formatSummary(summary))
    const file = process.env.TRIBUTARY_TEST_SUMMARY
    if (file) appendFileSync(file, `${summary.passed} ${summary.failed} ${summary.skipped}\n`)
  }
}

function summarize(modules: readonly TestModule[], unhandledErrors: number): Summary {
  const summary = { passed: 0, failed: unhandledErrors, skipped: 0 }
  for (const module of modules) {
    summary.failed += module.errors().length
    for (const suite of module.children.allSuites()) summary.failed += suite.errors().length
    for (const test of module.children.allTests()) {
      const { state } = test.result()
      summary[state === 'pending' ? 'skipped' : state] += 1
    }
  }
  return summary
}

function formatSummary({ passed, failed, skipped }: Summary): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`
}
