import { z } from 'zod'
import { PermanentError } from '../../errors.ts'
import { schemaSnapshot } from '../model/kinds/schema-snapshot.ts'
import type { MetadataRecord } from '../model/record.ts'
import type { EmbeddedFiles } from './files.ts'
import { type FiledRecord, recordPath, schemaPath } from './paths.ts'
import { readLine, type StoredLine, writeLine } from './stored-line.ts'

/** A file per record. The columns of a schema are in a file of their own, once for all snapshots that have them. */
export type RecordFiles = {
  /** Any number of times, also after a crash in the midst of it. */
  readonly write: (line: StoredLine) => Promise<void>
  /** Throws PermanentError where the file is gone or damaged. */
  readonly read: (filed: FiledRecord) => Promise<MetadataRecord>
}

const columnsFile = z.array(z.custom<z.core.util.JSONType>())

export function createRecordFiles(files: EmbeddedFiles): RecordFiles {
  const ensure = async (path: string, text: string) => {
    const body = Buffer.from(text)
    if (await files.create(path, body)) return
    const found = await files.read(path)
    if (found === null || !body.equals(found)) await files.replace(path, body)
  }
  /** Two snapshots of one schema are often written at once. */
  const schemas = new Map<string, Promise<void>>()
  const ensureSchema = async (fingerprint: string, columns: unknown) => {
    const writing = schemas.get(fingerprint) ?? ensure(schemaPath(fingerprint), JSON.stringify(columns))
    schemas.set(fingerprint, writing)
    try {
      await writing
    } finally {
      schemas.delete(fingerprint)
    }
  }
  const readText = async (path: string): Promise<string> => {
    const body = await files.read(path)
    if (body !== null) return Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8')
    const mend = 'delete index.json to have it made of the log again'
    throw new PermanentError(`${files.place}: expected the file ${path}, got none (${mend})`)
  }
  return {
    async write(line) {
      const { record } = line
      const path = recordPath(filedAs(line))
      const fingerprint = fingerprintOf(record)
      if (fingerprint === null) return ensure(path, writeLine(line))
      const { columns, ...payload } = record.payload
      await ensureSchema(fingerprint, columns)
      await ensure(path, writeLine({ ...line, record: { ...record, payload } }))
    },
    async read(filed) {
      const path = recordPath(filed)
      const { record } = readLine(await readText(path), path)
      const fingerprint = fingerprintOf(record)
      if (fingerprint === null) return record
      const columns = columnsFile.parse(JSON.parse(await readText(schemaPath(fingerprint))))
      return { ...record, payload: { ...record.payload, columns } }
    },
  }
}

function filedAs({ key, record }: StoredLine): FiledRecord {
  const { target, kind, effectiveAt, revision, context } = record
  return { target, kind, effectiveAt, runId: context.runId ?? null, key, revision }
}

function fingerprintOf({ kind, payload }: MetadataRecord): string | null {
  if (kind !== schemaSnapshot.kind) return null
  return typeof payload.fingerprint === 'string' ? payload.fingerprint : null
}
