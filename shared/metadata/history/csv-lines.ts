/** RFC 4180. Blank lines are none. */
export function csvLines(text: string): string[][] {
  const lines: string[][] = []
  let fields: string[] = []
  for (const match of text.matchAll(/("(?:[^"]|"")*"|[^",\r\n]*)(,|\r?\n|$)/g)) {
    const [, field = '', end] = match
    fields.push(field.startsWith('"') ? field.slice(1, -1).replaceAll('""', '"') : field.trim())
    if (end === ',') continue
    if (fields.length > 1 || fields[0] !== '') lines.push(fields)
    fields = []
  }
  return lines
}
