import { validateHeaderName, validateHeaderValue } from 'node:http'
import { ConfigError } from '../errors.ts'

/** Headers as they may be sent, with names in lower case. Throws ConfigError, which names the header and not its value. */
export function checkedHeaders(
  headers: Readonly<Record<string, string>>,
  subject: string,
): Readonly<Record<string, string>> {
  const checked: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    try {
      // A key that was read from a file may end with a line feed.
      const line = value.trim()
      validateHeaderName(name)
      validateHeaderValue(name, line)
      checked[name.toLowerCase()] = line
    } catch {
      throw new ConfigError([`${subject}: expected header ${name} to be one line of latin text, got something else`])
    }
  }
  return checked
}
