import { z } from 'zod'

/** How many: never negative, never above 2^53. */
export const count = z.int().min(0)

export const text = z.string().min(1).max(2_000)
export const longText = z.string().max(8_000)

/** 64 lower-case hex digits. */
export const sha256 = z
  .string()
  .refine((digits) => /^[0-9a-f]{64}$/.test(digits), 'expected 64 lower-case hex digits')
  .meta({ format: 'sha256' })

/** An enum to which a minor version may add values: readers take one they do not know for `unknown`. */
export function openEnum<const Values extends readonly [string, ...string[]]>(values: Values) {
  return z.enum(values).meta({ 'x-open-enum': true })
}
