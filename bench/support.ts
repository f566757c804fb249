/** Two things measured in one run, in turn: on a shared machine only their ratio means anything. */

export interface Measurement {
  name: string
  /** Milliseconds: median and the middle half of all rounds. */
  median: number
  spread: [number, number]
}

/** Runs each function once a round, in turn, and gives the median of each. */
export function measure (functions: Record<string, () => unknown>, rounds = 300): Measurement[] {
  const times = Object.keys(functions).map((): number[] => [])
  for (let round = -20; round < rounds; round++) {
    for (const [index, run] of Object.values(functions).entries()) {
      const start = performance.now()
      run()
      if (round >= 0) times[index]!.push(performance.now() - start) // the first rounds warm up
    }
  }
  return Object.keys(functions).map((name, index) => {
    const sorted = times[index]!.sort((a, b) => a - b)
    const at = (part: number) => sorted[Math.floor(sorted.length * part)]!
    return { name, median: at(0.5), spread: [at(0.25), at(0.75)] }
  })
}

export function print (title: string, measurements: Measurement[]): void {
  const floor = measurements[0]!.median
  console.log(`\n${title}`)
  for (const { name, median, spread } of measurements) {
    console.log(`  ${name.padEnd(36)} ${median.toFixed(3).padStart(9)} ms  (${spread.map(ms => ms.toFixed(3)).join(' to ')})  ratio ${(median / floor).toFixed(2)}`)
  }
}
