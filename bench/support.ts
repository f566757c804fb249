/** Things measured in one run, in turn: on a shared machine only their ratio means anything. */
import { setImmediate as nextTurn } from 'node:timers/promises'

export interface Options {
  /** Whether it runs is the question, and what is exact; times mean nothing then. */
  quick: boolean
  /** Folder for the CPU profile of the plugin's server process. */
  profiles: string | undefined
}

export interface Figure {
  name: string
  unit: string
  /** Median of all rounds. */
  value: number
  /** The middle half of all rounds. */
  spread?: [number, number]
  /** To the first figure of its group; of speeds or of times, as the unit says. */
  ratio?: number
}

/** Runs each function once a round, in turn. What a function gives is its figure; without that, its milliseconds. */
export async function measure (
  functions: Record<string, () => unknown>,
  { rounds, warmUp = 0, unit = 'ms' }: { rounds: number, warmUp?: number, unit?: string }
): Promise<Figure[]> {
  const values = Object.keys(functions).map((): number[] => [])
  for (let round = -warmUp; round < rounds; round++) {
    for (const [index, run] of Object.values(functions).entries()) {
      await nextTurn() // What the one before has left to do, such as its garbage, is not part of this one's time.
      const start = performance.now()
      const result = await run()
      if (round >= 0) values[index]!.push(typeof result === 'number' ? result : performance.now() - start)
    }
  }
  const figures = Object.keys(functions).map((name, index) => figureOf(name, unit, values[index]!))
  // Of each round's own ratio: what slows the machine down for a while slows both.
  for (const [index, figure] of figures.entries()) {
    figure.ratio = median(values[index]!.map((value, round) => value / values[0]![round]!))
  }
  return figures
}

function figureOf (name: string, unit: string, values: number[]): Figure {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (part: number) => sorted[Math.floor(sorted.length * part)]!
  return { name, unit, value: at(0.5), spread: [at(0.25), at(0.75)] }
}

function median (values: number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!
}

export function print (title: string, figures: Figure[]): void {
  console.log(`\n${title}`)
  for (const { name, value, unit, spread, ratio } of figures) {
    const range = spread ? `(${spread.map(text).join(' to ')})` : ''
    console.log(
      `  ${name.padEnd(44)} ${text(value).padStart(10)} ${unit.padEnd(11)} ${range.padEnd(24)} ${ratio === undefined ? '' : `ratio ${ratio.toFixed(2)}`}`.trimEnd()
    )
  }
}

const text = (value: number) => Number.isInteger(value) || value >= 1000 ? value.toFixed(0) : value.toPrecision(4)
