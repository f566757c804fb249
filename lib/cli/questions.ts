import { createInterface } from 'node:readline'
import type { CommandIO } from './io.js'

export interface Questions {
  /** The answer's line without spaces around it; empty at the end of the input. */
  ask (question: string): Promise<string>
  close (): void
}

/** Asks on `stderr`, so that results alone go to `stdout`. */
export function questionsOf ({ stdin, stderr }: Pick<CommandIO, 'stdin' | 'stderr'>): Questions {
  const input = createInterface({ input: stdin })
  const lines = input[Symbol.asyncIterator]()
  return {
    async ask (question) {
      stderr.write(question)
      const { value = '' } = await lines.next()
      return value.trim()
    },
    close: () => input.close()
  }
}

/** Asks before what cannot be taken back. */
export async function agreed (io: CommandIO, question: string): Promise<boolean> {
  const { ask, close } = questionsOf(io)
  const answer = await ask(`${question} [y/N] `)
  close()
  return /^y(es)?$/i.test(answer)
}
