/** What the command line ends with; scripts and Container Apps rely on it. */
export const EXIT = {
  done: 0,
  /** Something failed, or what was asked for does not hold. */
  failed: 1,
  /** Settings or usage: a person must act. */
  usage: 2,
  /** Try again later: the provider's quota is used up. */
  quota: 75,
  /** Told to stop; the next start goes on. */
  stopped: 143,
} as const
export type ExitCode = (typeof EXIT)[keyof typeof EXIT]
