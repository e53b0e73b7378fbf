import type { Environment } from './environment.ts'

// Whoever knows the webhook's address can post to it.
const SECRET_NAME = /(_KEY|_KEY_ID|_SECRET|_SECRET_KEY|_TOKEN|_PASSWORD|_WEBHOOK_URL|^PGPASSWORD)$/
const CONNECTION_STRING_SECRET = /\b(?:AccountKey|sig)=([^;&]+)/g

/** Values of settings that must never be logged. */
export function secretsOf(env: Environment): string[] {
  const secrets: string[] = []
  for (const [name, value] of Object.entries(env)) {
    if (!value) continue
    if (SECRET_NAME.test(name)) secrets.push(value)
    for (const [, secret] of value.matchAll(CONNECTION_STRING_SECRET)) if (secret) secrets.push(secret)
    if (name.endsWith('DATABASE_URL') && URL.canParse(value)) {
      const { password, searchParams } = new URL(value)
      secrets.push(password, decoded(password), searchParams.get('password') ?? '')
    }
  }
  return secrets.filter((secret) => secret !== '')
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
