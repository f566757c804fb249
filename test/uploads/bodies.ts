const fill = (element: string, bytes: number) => Array(Math.floor(bytes / (element.length + 1))).fill(element).join()
const numbered = (element: (number: string) => string, bytes: number) =>
  Array.from({ length: Math.floor(bytes / (element('zzzz').length + 1) - 1) }, (_, index) =>
    element(index.toString(36).padStart(4, '0'))
  ).join()
const operation = (data: string, more = '') => `{"batch":[{"op":"PUT","type":"rows","id":"a"${more},"data":${data}}]}`

const digits = '123456789012345678901234567890'

/** Units of JSON that one operation may have with the default limit: see `limitsOf`. */
const most = 500_000

/** Bodies of uploads of a size, each as costly as its kind can be. */
export const costly = (limit: number): Record<string, string> => {
  const size = limit - 200
  return {
    'objects in a field that nobody reads': `{"batch":[],"x":[${fill('{}', size)}]}`,
    'objects in a field of an operation that nobody reads': operation('{}', `,"x":[${fill('{}', size)}]`),
    'arrays in a column': operation(`{"json":[${fill('[]', size)}]}`),
    numbers: operation(`{"json":[${fill('1', size)}]}`),
    'numbers of many digits': operation(`{"json":[${fill(digits, size)}]}`),
    'numbers of many digits in text': operation(`{"json":"[${fill(digits, size)}]"}`),
    'quotes beside a number of many digits': operation(`{"json":${digits},"text":"${'\\"'.repeat(size / 2)}"}`),
    'names that are all different': operation(`{"json":{${numbered(number => `"${number}":1`, size)}}}`),
    'shapes that are all different': operation(`{"json":[${numbered(number => `{"${number}":1}`, size)}]}`),
    'JSON in text': operation(`{"json":"[${fill('{}', size)}]"}`),
    levels: operation(`{"json":${'['.repeat(size / 2)}${']'.repeat(size / 2)}}`),
    'levels that nobody reads': `{"batch":[],"x":${'['.repeat(size / 2)}${']'.repeat(size / 2)}}`,
    text: operation(`{"text":"${'é'.repeat(size / 2)}"}`),
    escapes: operation(`{"text":"${'\\u0000'.repeat(size / 6)}"}`),
    transactions: `{"transactions":[${fill('{}', size)}]}`,
    operations: `{"batch":[${numbered(id => `{"op":"PUT","type":"rows","id":"${id}","data":{"text":"${'x'.repeat(100)}"}}`, size)}]}`,
    'objects in several operations': `{"batch":[${Array.from({ length: 7 }, (_, index) => {
      const json = fill('{}', Math.min(size / 8, most / 2 * 3))
      return `{"op":"PUT","type":"rows","id":"${index}","data":{"json":"{\\"all\\":[${json}]}"}}`
    }).join()}]}`,
    'as many objects as are taken': operation(`{"json":[${fill('{}', most / 2 * 3)}]}`),
    'as many names as are taken': operation(`{"json":{${numbered(number => `"${number}":1`, most / 2 * 9)}}}`)
  }
}
