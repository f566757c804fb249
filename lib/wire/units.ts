/** 1 for each byte that makes a value or a name of JSON one more: `{ [ , :`. */
const UNITS = new Uint8Array(256)
for (const character of '{[,:') UNITS[character.charCodeAt(0)] = 1

/**
 * How many values and names JSON holds at most, told without reading it. Those within text count as well: a JSON column
 * is text that is parsed later, and prose has few.
 */
export function countUnits (bytes: Uint8Array): number {
  let units = 0
  for (let at = 0; at < bytes.length; at++) units += UNITS[bytes[at]!]!
  return units
}
