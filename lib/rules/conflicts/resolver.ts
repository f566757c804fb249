import type { ResolveConflictHook } from '../../../types/hooks.js'

/** A hook that works on the fields whose names it was given, whatever else a row has: their types were checked there. */
export function resolver<Row> (needs: Omit<ResolveConflictHook, never>, hook: ResolveConflictHook): ResolveConflictHook<Row> {
  return Object.assign(hook as unknown as ResolveConflictHook<Row>, needs)
}
