/** Settings as they come: nothing in them is trusted until it is parsed. */
export type Environment = Readonly<Record<string, string | undefined>>
