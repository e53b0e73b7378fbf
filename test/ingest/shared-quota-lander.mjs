// An instance in a process of its own, from the compiled code: it lands the ingests that it is given, several at once,
// and says how often it was told to wait for a token.

import { land } from '../../dist/shared/ingest/work.js'
import { openPlatform } from '../../dist/shared/platform.js'
import { SOURCES } from '../../dist/shared/sources/registry.js'

const { sourceId, budget, sourceIngestIds, atOnce } = JSON.parse(process.argv[2])
const source = { ...SOURCES.get(sourceId), budget }
const opened = openPlatform({
  env: process.env,
  sink: (_level, line) => process.stderr.write(`${JSON.stringify(line)}\n`),
  sources: new Map([[sourceId, source]]),
})
let waits = 0
const budgets = {
  ...opened.budgets,
  async reserve(...asked) {
    const answer = await opened.budgets.reserve(...asked)
    if (answer.waitMs > 0) waits++
    return answer
  },
}
const platform = { ...opened, budgets }
const limits = { stop: new AbortController().signal, deadlineMs: 60_000, waitMsMax: 60_000 }

const left = [...sourceIngestIds]
const worked = []
const work = async () => {
  for (let id = left.shift(); id !== undefined; id = left.shift()) {
    worked.push(await land(platform, { v: 1, sourceIngestId: id }, limits))
  }
}
await Promise.all(Array.from({ length: atOnce }, work))
await platform.close()
process.stdout.write(JSON.stringify({ worked, waits }))
