/** Values that may be promises. Most hooks give plain values: waiting for each of those would cost more than the hook. */
import type { Awaitable } from '../../types/hooks.js'

export function isPromise<T> (value: Awaitable<T>): value is Promise<T> {
  return typeof (value as Partial<Promise<T>> | null | undefined)?.then === 'function'
}

/** Goes on with a value: at once, if it is there. */
export function then<T, Result> (value: Awaitable<T>, next: (value: T) => Awaitable<Result>): Awaitable<Result> {
  return isPromise(value) ? value.then(next) : next(value)
}

/** Works on one item after the other. */
export function inOrder<T> (items: readonly T[], work: (item: T) => Awaitable<void>, from = 0): Awaitable<void> {
  for (let index = from; index < items.length; index++) {
    const pending = work(items[index]!)
    if (isPromise(pending)) return pending.then(() => inOrder(items, work, index + 1))
  }
}
