import neostandard, { resolveIgnoresFromGitignore } from 'neostandard'

/** The folders of lib, and of which others each may import: a write walks down this list and never up. */
const imports = {
  client: [],
  routes: ['auth', 'observe', 'store', 'uploads', 'wire'],
  cli: ['client', 'keys', 'observe', 'options', 'rules', 'schema', 'store', 'uploads'],
  auth: ['keys', 'observe', 'options'],
  options: ['keys', 'schema', 'store'],
  wire: ['client'],
  uploads: ['observe', 'rules', 'store'],
  store: ['observe', 'rules', 'schema'],
  rules: ['client', 'schema'],
  schema: ['client'],
  observe: ['schema'],
  keys: []
}

export default [
  ...neostandard({ ts: true, ignores: resolveIgnoresFromGitignore() }),
  {
    files: ['**/*.ts'],
    // A TypeBox schema and its static type share a name; TypeScript itself refuses real redeclarations.
    rules: { '@typescript-eslint/no-redeclare': 'off' }
  },
  {
    rules: {
      // What cannot be broken is left: addresses, and templates and patterns whose line ends would be part of them.
      '@stylistic/max-len': ['error', {
        code: 120,
        ignoreUrls: true,
        ignoreTemplateLiterals: true,
        ignoreRegExpLiterals: true
      }],
      'max-params': ['error', 4]
    }
  },
  {
    files: ['types/*.ts'],
    rules: {
      'no-restricted-imports': ['error', {
        patterns: [{ regex: '/lib/', message: 'Public types stand on their own: types/ imports nothing of lib.' }]
      }]
    }
  },
  ...Object.entries(imports).map(([folder, allowed]) => ({
    files: [`lib/${folder}/**/*.ts`],
    rules: {
      'no-restricted-imports': ['error', {
        patterns: [{
          regex: `^(?:\\.\\./)+(?!(?:${[folder, 'types', ...allowed].join('|')})/)[a-z-]+/`,
          message: `lib/${folder} may import of ${allowed.length ? `${allowed.join(', ')} and ` : ''}lib itself only.`
        }]
      }]
    }
  }))
]
