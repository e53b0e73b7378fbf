/**
 * Parts of the protocol that can be taken away, one at a time. The model without a part must break a promise:
 * that shows both that the part is needed and that the oracle sees.
 */
export const PARTS = {
  'epoch guard before the put': 'a worker that lost its lease goes on to its curated PUT',
  'epoch guard of state changes': 'publish, landed, retry ask for the state only, not for the epoch',
  'if-match': 'a curated PUT replaces whatever is there',
  'listed before the put': 'partition_ingest is written after the PUT',
  'rebuild lists after the get': 'a rebuild reads partition_ingest before it reads the file',
  'rebuild keeps the unpublished': 'a rebuild leaves out what is listed and not yet published',
  'a running rebuild is not enough': 'a mark trusts a rebuild that a worker has already begun',
  'a marked rebuild always puts': 'a rebuild planned by a mark skips a PUT of equal bytes',
  'a merge of a file always puts': 'a merge of a file version that has rows of its own in the file skips an equal PUT',
  'a merge without own rows always puts': 'any merge that changes nothing skips its PUT',
  'pages of the landed epoch': 'curate reads the pages of every epoch',
  'marks cancel active versions': 'publishing a file version leaves older ones active',
  'marks plan rebuilds': 'publishing a file version plans no rebuild',
  'freeing sends again': 'freeing the guard leaves queued_at as it was',
  'counts are kept': 'a later try counts against a file that holds its own rows',
  'listed is not counted': 'a listing without counts yet looks like one whose counts are zero',
  'one version per file': 'a file of an older transform version is merged into',
  'old workers refuse': 'a worker takes ingests and files of a newer transform version',
  'a missing file is rebuilt': 'a file that is missing is started anew',
  'an epoch has its own pages': 'every attempt writes raw pages under the same names, over what is there',
  'greatest identity wins': 'of two rows of a key the one that comes last wins',
  'expired leases are taken over': 'the sweep leaves ingests of dead workers alone',
  'hints are sent again': 'the sweep never sends a hint twice',
  'marked ingests stay ended': 'replay takes up superseded and withdrawn ingests',
  'fetched is not planned': 'the planner subtracts published instead of fetched coverage',
  'newer transforms reject no more': 'a newer transform version rejects a record that an older one kept',
} as const

export type Part = keyof typeof PARTS
