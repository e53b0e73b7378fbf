import { createHash, randomInt, timingSafeEqual } from 'node:crypto'
import { crc32 } from 'node:zlib'

/**
 * `trb_<env>_<id>_<secret><checksum>`: the beginning is what secret scanners look for; id, secret and checksum are
 * base62, so that a double click takes all of it.
 */
export type TokenParts = {
  /** Of which deployment: a token of another one is refused before anything is asked. */
  readonly environment: string
  readonly tokenId: string
  readonly secret: string
}

const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const ID_CHARS = 16
/** 62^43 > 2^256. */
const SECRET_CHARS = 43
/** 62^6 > 2^32. */
const CHECKSUM_CHARS = 6

export const TOKEN_PREFIX = 'trb_'
export const TOKEN_ID = /^[0-9A-Za-z]{16}$/
export const TOKEN_ENVIRONMENT = /^[a-z0-9-]{1,32}$/

const TOKEN = new RegExp(
  `^(${TOKEN_PREFIX}([a-z0-9-]{1,32})_([0-9A-Za-z]{${ID_CHARS}})_([0-9A-Za-z]{${SECRET_CHARS}}))([0-9A-Za-z]{${CHECKSUM_CHARS}})$`,
)

export function newTokenParts(environment: string): TokenParts {
  return { environment, tokenId: randomText(ID_CHARS), secret: randomText(SECRET_CHARS) }
}

export function formatToken({ environment, tokenId, secret }: TokenParts): string {
  const text = `${TOKEN_PREFIX}${environment}_${tokenId}_${secret}`
  return `${text}${checksumOf(text)}`
}

/** Undefined for what no deployment ever gave out: typing errors and noise end here, without a look-up. */
export function parseToken(text: string): TokenParts | undefined {
  const match = TOKEN.exec(text)
  if (match === null) return undefined
  const [, said = '', environment = '', tokenId = '', secret = '', checksum] = match
  return checksumOf(said) === checksum ? { environment, tokenId, secret } : undefined
}

/** 256 random bits need no slow hash. */
export function hashSecret(secret: string): Buffer {
  return createHash('sha256').update(secret).digest()
}

export type SecretComparison = (secret: string, stored: Uint8Array | null) => boolean

/** What nobody's secret hashes to: whoever finds a preimage may have it. */
const OF_NOBODY = Buffer.alloc(32, 0xff)

/** Goes the same way, in the same time, whether there is such a token (`stored`) or not. */
export const secretMatches: SecretComparison = (secret, stored) => {
  const known = stored?.length === OF_NOBODY.length
  return timingSafeEqual(hashSecret(secret), known ? stored : OF_NOBODY) && known
}

/** CRC-32 finds every change of up to 32 bits in a row, hence of every single character. */
function checksumOf(text: string): string {
  let rest = crc32(text)
  let digits = ''
  for (let n = 0; n < CHECKSUM_CHARS; n++) {
    digits = DIGITS.charAt(rest % DIGITS.length) + digits
    rest = Math.floor(rest / DIGITS.length)
  }
  return digits
}

/** `randomInt` is uniform: no remainder favours the first digits. */
function randomText(chars: number): string {
  return Array.from({ length: chars }, () => DIGITS.charAt(randomInt(DIGITS.length))).join('')
}
