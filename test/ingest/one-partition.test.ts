import { afterEach, describe, expect, test } from 'vitest'
import type { IoOperation } from '../../shared/io-hook.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { lakeState, outcomeCounts, readLake } from '../support/lake-state.ts'
import { createPause } from '../support/pause.ts'
import { filesUnlikeTheirRaw } from '../support/rebuilt-files.ts'
import { openWorkbench, TWO_YEARS, type Workbench } from '../support/workbench.ts'

const ONE_YEAR = { ...TWO_YEARS, until: '2002-01-01' }
const QUARTERS = ['2001-01-01', '2001-04-01', '2001-07-01', '2001-10-01', '2002-01-01']

const isPut = ({ action, subject }: IoOperation) => action === 'put' && subject.startsWith('curated/')
const isList = ({ subject }: IoOperation) => subject === 'list_in_partition'
const isPublish = ({ subject }: IoOperation) => subject === 'publish_ingest'

describe('I2 nothing doubled: ingests that meet in one partition', () => {
  const environment = useTestEnvironment()
  const opened: Workbench[] = []
  afterEach(async () => {
    for (const bench of opened.splice(0)) await bench.close()
  })
  const open = async (options: Parameters<typeof openWorkbench>[0]) => {
    const bench = await openWorkbench(options)
    opened.push(bench)
    return bench
  }

  /** Four landed quarters of one year, by two workers; returns the messages of their curations. */
  const landQuarters = async (bench: Workbench) => {
    const messages: { v: 1; sourceIngestId: string }[] = []
    for (const until of QUARTERS.slice(1)) {
      await bench.writeStreams([{ ...ONE_YEAR, until }])
      const { planned } = await bench.plan()
      for (const sourceIngestId of planned) {
        messages.push({ v: 1, sourceIngestId })
        await bench.land({ v: 1, sourceIngestId })
      }
    }
    return messages
  }

  const MOMENTS = [
    ['about to write the file', isPut],
    ['about to be listed for it', isList],
    ['about to publish what it wrote', isPublish],
  ] as const
  const FILES = [
    ['a file that is not there yet', 0],
    ['a file that is there', 1],
  ] as const
  for (const [moment, matches] of MOMENTS) {
    test.each(FILES)(
      `a worker that is overtaken when it is ${moment}: %s ends with the rows of all`,
      async (_what, published) => {
        const services = {
          databaseUrl: await environment.newDatabase(),
          storageConnectionString: environment.newStorageAccount(),
        }
        const pause = createPause(matches)
        const slow = await open({ ...services, hook: pause.hook, streams: [ONE_YEAR] })
        const quick = await open({ ...services, streams: [ONE_YEAR] })
        const messages = await landQuarters(quick)
        expect(messages).toHaveLength(4)
        for (const message of messages.slice(0, published)) await quick.curate(message)
        pause.arm()
        const working = slow.curate(messages[published])
        await pause.reached
        for (const message of messages.slice(published + 1)) expect(await quick.curate(message)).toBe('published')
        pause.resume()
        expect(await working).toBe('published')

        expect(await readLake(quick.platform)).toEqual({ rows: 248, duplicateKeys: 0, wrongHashes: [] })
        expect(await filesUnlikeTheirRaw(quick.platform)).toEqual([])
        expect((await lakeState(quick.platform)).unfinished).toBe(0)
        expect(await outcomeCounts(quick.platform)).toMatchObject({
          inserted: 248,
          updated: 0,
          unchanged: 0,
          superseded: 0,
        })
      },
    )
  }
})
