import neostandard, { resolveIgnoresFromGitignore } from 'neostandard'

export default [
  ...neostandard({ ts: true, ignores: resolveIgnoresFromGitignore() }),
  {
    files: ['**/*.ts'],
    // A TypeBox schema and its static type share a name; TypeScript itself refuses real redeclarations.
    rules: { '@typescript-eslint/no-redeclare': 'off' }
  }
]
