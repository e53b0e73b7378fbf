import { describeKills } from '../crash/killed-application.ts'

describeKills(20)
