// Assembles what Azure Functions runs, and nothing else: compiled functions and what they import, production modules,
// host.json, the streams file. azd ships the folder as it is.
//
//   node scripts/package-functions.mjs [--target dist/package] [--built] [--modules install|link]
//
// --built takes dist as it is. --modules link, for tests, links to the repository's own modules instead of installing
// them: all that are there for production, none that is there for development only.
import { execFileSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const { target, built, modules } = parseArgs({
  options: {
    target: { type: 'string', default: 'dist/package' },
    built: { type: 'boolean', default: false },
    modules: { type: 'string', default: 'install' },
  },
}).values
if (modules !== 'install' && modules !== 'link') {
  process.stderr.write(`--modules: expected install or link, got ${modules}\n`)
  process.exit(2)
}

const folder = resolve(ROOT, target)
if (!built) {
  // A fresh clone, or a pipeline that did nothing else.
  if (!existsSync(join(ROOT, 'node_modules'))) npm(['ci', '--no-audit', '--no-fund'], ROOT)
  npm(['run', '--silent', 'build'], ROOT)
}
rmSync(folder, { recursive: true, force: true })
mkdirSync(folder, { recursive: true })
for (const file of ['host.json', 'package.json', 'package-lock.json', 'streams.json']) {
  cpSync(join(ROOT, file), join(folder, file))
}
for (const part of ['functions', 'shared']) copyCompiled(join('dist', part))
if (modules === 'link') linkModules()
else {
  npm(['ci', '--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund'], folder)
  pruneModules(join(folder, 'node_modules'))
}
rmSync(join(folder, 'package-lock.json'))
writePackageJson()
// Nothing of this folder is left out.
writeFileSync(join(folder, '.funcignore'), 'local.settings.json\n')
const { files, bytes } = measure(folder)
process.stdout.write(
  `${relative(process.cwd(), folder) || '.'}: ${files} files, ${(bytes / 1024 / 1024).toFixed(1)} MiB\n`,
)

function npm(args, cwd) {
  execFileSync('npm', args, { cwd, stdio: ['ignore', 'inherit', 'inherit'], shell: process.platform === 'win32' })
}

/** The compiler never removes: what has no source any more would be registered, too. */
function copyCompiled(part) {
  const source = (path) => join(ROOT, relative(join(ROOT, 'dist'), path)).replace(/\.js$/, '.ts')
  cpSync(join(ROOT, part), join(folder, part), {
    recursive: true,
    filter: (path) =>
      statSync(path).isDirectory() || path.endsWith('.sql') || (path.endsWith('.js') && existsSync(source(path))),
  })
}

function linkModules() {
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'))
  for (const [path, { dev = false, devOptional = false }] of Object.entries(packages)) {
    // Those within another package come with it; optional ones of other platforms are in the lock file only.
    if (dev || devOptional || path.lastIndexOf('node_modules/') !== 0 || !existsSync(join(ROOT, path))) continue
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    symlinkSync(join(ROOT, path), join(folder, path), 'junction')
  }
}

/** Two thirds of the files are for debuggers and compilers; every one of them would be loaded onto every instance. */
function pruneModules(path) {
  for (const entry of readdirSync(path, { recursive: true, withFileTypes: true })) {
    if (entry.isFile() && /\.(map|d\.[cm]?ts)$/.test(entry.name)) rmSync(join(entry.parentPath, entry.name))
  }
}

function writePackageJson() {
  const {
    devDependencies: _,
    scripts: __,
    allowScripts: ___,
    ...kept
  } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(kept, null, 2)}\n`)
}

function measure(path) {
  let files = 0
  let bytes = 0
  for (const entry of readdirSync(path, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    files += 1
    bytes += statSync(join(entry.parentPath, entry.name)).size
  }
  return { files, bytes }
}
