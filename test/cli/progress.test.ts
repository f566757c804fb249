import t from 'tap'
import { progressOf } from '../../lib/cli/terminal.js'

/** What `work` prints of three steps, where a step takes so many milliseconds. */
function print (step: number, terminal: { isTTY?: boolean, TERM?: string }): string {
  let now = 0
  let printed = ''
  const write = (text: string) => { printed += text }
  const progress = progressOf(
    { stderr: { write, isTTY: terminal.isTTY }, env: { TERM: terminal.TERM }, now: () => now },
    'counting'
  )
  progress.start(3)
  for (const result of ['a\n', 'b\n', 'c\n']) {
    now += step
    progress.step(() => write(result))
  }
  return printed
}

t.test('on a terminal a line changes, and is gone at the end', async t => {
  t.equal(
    print(1, { isTTY: true }),
    'counting: 0 of 3\r\x1b[Ka\ncounting: 1 of 3\r\x1b[Kb\ncounting: 2 of 3\r\x1b[Kc\n'
  )
})

t.test('elsewhere a line comes every 10 s, and none where it takes no time', async t => {
  for (const terminal of [{}, { isTTY: true, TERM: 'dumb' }]) {
    t.equal(print(1, terminal), 'a\nb\nc\n')
    t.equal(print(6000, terminal), 'a\nb\ncounting: 2 of 3\nc\n')
  }
})

t.test('without a clock it is the process\'s', async t => {
  let printed = ''
  const write = (text: string) => { printed += text }
  const progress = progressOf({ stderr: { write }, env: {} }, 'counting')
  progress.start(1)
  progress.step(() => write('a\n'))
  t.equal(printed, 'a\n')
})
