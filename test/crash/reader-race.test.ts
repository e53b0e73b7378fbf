import { describeReaderRace } from './reader-race.ts'

// A thousand of them in test/long.
describeReaderRace(60)
