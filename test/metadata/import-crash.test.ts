import { describe, expect, test } from 'vitest'
import { createFaultyIo, FAULTS } from '../support/faulty-io.ts'
import { at, file, line, manifest, useImport, window } from './import-bench.ts'

describe('history import', () => {
  const bench = useImport()
  const first = file('m.json', manifest([{ slice: 'a', rows: 3, ...window(1, 2) }]))
  const second = file('p.jsonl', line('a', 'completed', at(10), { rows: 4 }), line('b', 'started', at(10)))

  /** The second of two imports with a fault at one operation; false: there is no such operation. */
  const importWithFault = async (fault: { kind: (typeof FAULTS)[number]; at: number }) => {
    await bench.clear()
    await bench.run([first])
    const io = createFaultyIo()
    const place = bench.open(io.hook)
    try {
      io.arm(fault)
      await bench.run([second], place).catch(() => undefined)
      if (io.operations.length <= fault.at) return false
    } finally {
      await place.close()
    }
    return true
  }

  test.each(FAULTS)('is repeated after a fault at any operation: %s', async (kind) => {
    await bench.run([first])
    await bench.run([second])
    const expected = await bench.state()
    let operations = 0
    while (await importWithFault({ kind, at: operations })) {
      await bench.run([second])
      expect([operations, await bench.state()]).toEqual([operations, expected])
      operations++
    }
    expect(operations).toBeGreaterThan(15)
  })
})
