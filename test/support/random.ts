/** Random choices that a seed repeats. */
export interface Random {
  /** From 0 up to, and without, 1. */
  next (): number
  integer (from: number, to: number): number
  chance (probability: number): boolean
  pick <Item>(items: readonly Item[]): Item
}

/** Mulberry32, by Tommy Ettinger: 32 bits of state. */
export function randomBySeed (seed: number): Random {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const integer = (from: number, to: number) => from + Math.floor(next() * (to - from + 1))
  return {
    next,
    integer,
    chance: probability => next() < probability,
    pick: items => items[integer(0, items.length - 1)]!
  }
}
