import { isIP } from 'node:net'

/**
 * The budget that a failed look-up of this client takes from. An IPv6 client owns a whole /64, so that is who guesses;
 * a port, as the front end of Azure Functions appends it, is nobody else.
 */
export function guessBudget(clientAddress: string | null): string {
  return `guess/${clientGroup(clientAddress ?? '')}`
}

function clientGroup(text: string): string {
  const address = withoutPort(text.trim())
  switch (isIP(address)) {
    case 4:
      return address
    case 6:
      return groupOfIpv6(address)
    default:
      return 'unknown'
  }
}

function withoutPort(text: string): string {
  const bracketed = /^\[([^\]]+)\](?::\d{1,5})?$/.exec(text)
  if (bracketed !== null) return bracketed[1] ?? ''
  return /^(\d+\.\d+\.\d+\.\d+):\d{1,5}$/.exec(text)?.[1] ?? text
}

function groupOfIpv6(address: string): string {
  const [unzoned = ''] = address.split('%')
  // The URL parser writes every form the same way: compressed, in hex, IPv4 at the end included.
  const [head = '', tail] = new URL(`http://[${unzoned}]`).hostname.slice(1, -1).split('::')
  const before = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length
  const parts = [...before, ...Array.from({ length: zeros }, () => '0'), ...after]
  const [high = '', low = ''] = parts.slice(6)
  // ::ffff:0:0/96 is how a socket that speaks both names an IPv4 client.
  if (parts.slice(0, 6).join(':') === '0:0:0:0:0:ffff') {
    const number = Number.parseInt(high, 16) * 65_536 + Number.parseInt(low, 16)
    return [24, 16, 8, 0].map((shift) => (number >>> shift) & 0xff).join('.')
  }
  return `${parts.slice(0, 4).join(':')}::/64`
}
