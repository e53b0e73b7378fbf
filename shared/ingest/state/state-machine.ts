/**
 * The life of a SourceIngest as one total table: every kind x state x event has its outcome, and a missing cell does
 * not compile. The statements that change state are built from it, so code and table cannot differ.
 */
export const STATES = [
  'planned',
  'landing',
  'landed',
  'curating',
  'published',
  'empty',
  'failed',
  'quarantined',
  'cancelled',
] as const
export type State = (typeof STATES)[number]

/** A fetch asks the provider; a rebuild (lane `reprocess`) makes a partition again from raw. */
export const KINDS = ['fetch', 'rebuild'] as const
export type Kind = (typeof KINDS)[number]

export const EVENTS = [
  'claimToLand',
  'claimToCurate',
  /** Every page stored, the answer proven complete. */
  'land',
  /** The same, and there was no record in it. */
  'landEmpty',
  'publish',
  /** A failure that may pass: back to the last durable state. Giving back an attempt goes the same way. */
  'retry',
  /** The window was too large: two halves take its place. */
  'split',
  'fail',
  'quarantine',
  'cancel',
  /** A person wants it tried again: `replayLanded` where its raw pages are there, `replayPlanned` where not. */
  'replayLanded',
  'replayPlanned',
] as const
export type Event = (typeof EVENTS)[number]

type Outcomes = Readonly<Record<Event, State | null>>

const NOTHING: Outcomes = {
  claimToLand: null,
  claimToCurate: null,
  land: null,
  landEmpty: null,
  publish: null,
  retry: null,
  split: null,
  fail: null,
  quarantine: null,
  cancel: null,
  replayLanded: null,
  replayPlanned: null,
}

// From any active state a person or a failure can end the ingest.
const ENDS = { fail: 'failed', quarantine: 'quarantined', cancel: 'cancelled' } as const

export const TRANSITIONS: Readonly<Record<Kind, Readonly<Record<State, Outcomes>>>> = {
  fetch: {
    planned: { ...NOTHING, ...ENDS, claimToLand: 'landing' },
    landing: { ...NOTHING, ...ENDS, land: 'landed', landEmpty: 'empty', retry: 'planned', split: 'cancelled' },
    landed: { ...NOTHING, ...ENDS, claimToCurate: 'curating' },
    curating: { ...NOTHING, ...ENDS, publish: 'published', retry: 'landed' },
    published: NOTHING,
    empty: NOTHING,
    failed: { ...NOTHING, replayLanded: 'landed', replayPlanned: 'planned' },
    quarantined: { ...NOTHING, replayLanded: 'landed', replayPlanned: 'planned' },
    cancelled: NOTHING,
  },
  rebuild: {
    planned: { ...NOTHING, ...ENDS, claimToCurate: 'curating' },
    landing: NOTHING,
    landed: NOTHING,
    curating: { ...NOTHING, ...ENDS, publish: 'published', retry: 'planned' },
    published: NOTHING,
    empty: NOTHING,
    failed: { ...NOTHING, replayPlanned: 'planned' },
    quarantined: { ...NOTHING, replayPlanned: 'planned' },
    cancelled: NOTHING,
  },
}

/** States in which work is under way or to come: their windows never overlap within a stream. */
export const ACTIVE_STATES: readonly State[] = ['planned', 'landing', 'landed', 'curating']

/**
 * SQL for the state that `event` leads to from the row `alias` of `provenance.source_ingest`; null where the table
 * refuses it. A statement sets `state` to it and asks in its `where` that it is not null.
 */
export function nextState(alias: string, event: Event): string {
  const cases = (kind: Kind) => {
    const whens = STATES.flatMap((state) => {
      const next = TRANSITIONS[kind][state][event]
      return next === null ? [] : [`when '${state}' then '${next}'`]
    })
    return whens.length === 0 ? 'null' : `case ${alias}.state ${whens.join(' ')} end`
  }
  return `(case when ${alias}.lane = 'reprocess' then ${cases('rebuild')} else ${cases('fetch')} end)`
}
