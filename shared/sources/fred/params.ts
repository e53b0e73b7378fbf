import { z } from 'zod'
import { sample } from '../../json.ts'

/** FRED's transformations: none, changes, percent changes, compounded ones, the logarithm. */
export const FRED_UNITS = ['lin', 'chg', 'ch1', 'pch', 'pc1', 'pca', 'cch', 'cca', 'log'] as const

const shown = (input: unknown) => sample(JSON.stringify(input), 60)

export const fredParams = z.strictObject({
  series_id: z.string().regex(/^[A-Za-z0-9_.-]{1,40}$/, {
    error: ({ input }) => `expected 1 to 40 letters, digits, dots, hyphens or underscores, got ${shown(input)}`,
  }),
  units: z.enum(FRED_UNITS).default('lin'),
  /** Names the stream where one series has two, as in `DGS10@chg`. */
  subject: z
    .string()
    .regex(/^[^\s,\p{C}]{1,60}$/u, {
      error: ({ input }) => `expected 1 to 60 printable characters without space or comma, got ${shown(input)}`,
    })
    .optional(),
})

export type FredParams = z.infer<typeof fredParams>

export function subjectOf(params: FredParams): string {
  return params.subject ?? params.series_id
}
