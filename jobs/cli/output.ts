import { formatInstant } from '../../shared/instant.ts'

export type Output = {
  readonly json: boolean
  /** The answer of a command: `value` as one JSON document with `--json`, else the text that `show` makes of it. */
  readonly answer: <T>(value: T, show: (value: T) => string) => void
  /** One step of long work, on standard error: a JSON line with `--json`, else a line of text. */
  readonly progress: (event: string, fields: Readonly<Record<string, unknown>>, text: string) => void
}

export type Streams = { readonly out: (text: string) => void; readonly err: (text: string) => void }

export function createOutput(json: boolean, { out, err }: Streams): Output {
  return {
    json,
    answer(value, show) {
      const text = json ? JSON.stringify(value, spellBigint, 2) : show(value)
      out(text.endsWith('\n') ? text : `${text}\n`)
    },
    progress(event, fields, text) {
      err(json ? `${JSON.stringify({ event, ...fields }, spellBigint)}\n` : `${text}\n`)
    },
  }
}

/** Every bigint in an answer is an instant. */
function spellBigint(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? formatInstant(value) : value
}
