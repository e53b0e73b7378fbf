import { describeKills } from './killed-application.ts'

// Twenty of them in test/long.
describeKills(5)
