// Loaded with `--import` into a process that is measured: what it used in all is known only at its end, and to itself.

import { writeFileSync } from 'node:fs'

process.on('exit', () => {
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage()
  const usage = { cpuS: (userCPUTime + systemCPUTime) / 1e6, rssBytes: maxRSS * 1024 }
  writeFileSync(process.env.TRIBUTARY_BENCH_USAGE, JSON.stringify(usage))
})
