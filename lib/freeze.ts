/** Freezes plain objects and arrays, at any depth; not values of classes, such as dates and BSON's. */
export function deepFreeze<Value> (value: Value): Value {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== Array.prototype && prototype !== null) return value
  for (const name in value) deepFreeze(value[name])
  return Object.freeze(value)
}
