/** `fastify-powersync-mongo/client/react`: rejected changes as React's state. */
import { useEffect, useMemo, useState } from 'react'
import type { Rejection, Rejections, RejectionsDatabase, RejectionsOptions } from '../../types/rejections.js'
import { createRejections } from './rejections.js'

/** What `useRejections` gives. */
export interface RejectionsState extends Pick<Rejections, 'discard' | 'resend'> {
  /** The oldest first; empty until they are read. */
  rejections: Rejection[]
  /** Why they cannot be read. */
  error: Error | undefined
}

/**
 * The user's rejected changes, and what settles them: `createRejections` for a component, which is rendered again when
 * they change.
 */
export function useRejections (database: RejectionsDatabase, { table }: RejectionsOptions = {}): RejectionsState {
  const { watch, discard, resend } = useMemo(() => createRejections(database, { table }), [database, table])
  const [rejections, setRejections] = useState<Rejection[]>([])
  const [error, setError] = useState<Error>()
  useEffect(() => {
    const stop = watch(setRejections, setError)
    // Of another database or table, which may be another user's.
    return () => {
      stop()
      setRejections([])
      setError(undefined)
    }
  }, [watch])
  return { rejections, error, discard, resend }
}
