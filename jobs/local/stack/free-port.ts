import { createServer } from 'node:net'

/** A port that was free a moment ago; whoever listens on it must be ready to find it taken. */
export function freePort(host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, host, () => {
      const address = server.address()
      server.close(() => {
        if (address !== null && typeof address === 'object') resolve(address.port)
        else reject(new Error(`free port: expected an address with a port, got ${address}`))
      })
    })
  })
}
