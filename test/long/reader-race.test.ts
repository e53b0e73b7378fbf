import { describeReaderRace } from '../crash/reader-race.ts'

describeReaderRace(1_000)
