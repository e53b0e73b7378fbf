export type VersionNumber = { readonly major: number; readonly minor: number }

const VERSION = /^([1-9]\d{0,3})\.(0|[1-9]\d{0,3})$/

/** `major.minor`; null for anything else. */
export function parseVersion(text: string): VersionNumber | null {
  const match = VERSION.exec(text)
  return match === null ? null : { major: Number(match[1]), minor: Number(match[2]) }
}

export function formatVersion({ major, minor }: VersionNumber): string {
  return `${major}.${minor}`
}

/** Oldest first: 1.10 comes after 1.9. */
export function byVersion(a: VersionNumber, b: VersionNumber): number {
  return a.major - b.major || a.minor - b.minor
}
