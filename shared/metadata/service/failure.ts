import pg from 'pg'
import { ThrottledError, TransientError, toError } from '../../errors.ts'
import type { Log } from '../../log/log.ts'
import { FeedAheadError, FeedGoneError } from '../feed/feed.ts'
import { QueryError } from '../model/repository.ts'
import { ServiceError } from './problems.ts'

const RETRY_AFTER = { headers: { 'Retry-After': '5' } }
/** A year like 0000, which RFC 3339 has and PostgreSQL has not. */
const BEFORE_TIME = '22008'
// A statement or a lock took too long: https://www.postgresql.org/docs/current/errcodes-appendix.html
const TOOK_TOO_LONG: readonly string[] = ['57014', '55P03']

/** What a caller is told. Of what nobody expected only that it happened: the log has the rest, under the same id. */
export function problemOf(thrown: unknown, log: Log): ServiceError {
  if (thrown instanceof ServiceError) return thrown
  if (thrown instanceof QueryError) return new ServiceError(thrown.code, thrown.message)
  if (thrown instanceof FeedGoneError) {
    return new ServiceError('feed-gone', { detail: thrown.message, log: thrown.logHour })
  }
  if (thrown instanceof FeedAheadError) return new ServiceError('feed-ahead', thrown.message)
  const error = toError(thrown)
  if (codeOf(error) === BEFORE_TIME) {
    return new ServiceError('invalid-query', 'times: expected years that the store knows, got one outside of them')
  }
  if (isUnavailable(error)) {
    log.warn('metadata_service_unavailable', { error })
    return new ServiceError('unavailable', 'service: expected its store to answer, got none', RETRY_AFTER)
  }
  log.error('metadata_service_failed', { error })
  return new ServiceError('internal', 'service: an error that the log tells of, under the id in "instance"')
}

function isUnavailable(error: Error): boolean {
  if (error instanceof TransientError || error instanceof ThrottledError) return true
  const code = codeOf(error)
  return code !== undefined && TOOK_TOO_LONG.includes(code)
}

/** SQLSTATE. */
function codeOf({ cause }: Error): string | undefined {
  return cause instanceof pg.DatabaseError ? cause.code : undefined
}
