// What the compiler does not copy: SQL migrations and the data that the provider simulators serve.
import { cpSync } from 'node:fs'

for (const folder of ['shared/postgres/migrations', 'jobs/local/data']) {
  cpSync(folder, `dist/${folder}`, { recursive: true })
}
