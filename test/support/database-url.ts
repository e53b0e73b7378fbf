/** The same server and role, another database. */
export function databaseUrlOf(url: string, database: string): string {
  const other = new URL(url)
  other.pathname = `/${database}`
  return other.href
}
