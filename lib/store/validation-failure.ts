/** Which rule of the collection's validator a field of the document broke. */
export interface ValidationFailure {
  path: string
  /** Name of the rule, for example `bsonType` or `required`. */
  rule: string
}

/**
 * What the server says of a document that failed validation (code 121), boiled down to field and rule. It also quotes
 * the values, which must not get to clients or logs.
 *
 * @param errInfo as the server sends it; of an unknown form, the result is empty
 * @see https://www.mongodb.com/docs/manual/core/schema-validation/view-existing-validation-rules/
 */
export function validationFailures (errInfo: unknown): ValidationFailure[] {
  return rulesOf(get(get(errInfo, 'details'), 'schemaRulesNotSatisfied'), '')
}

function rulesOf (rules: unknown, path: string): ValidationFailure[] {
  return arrayOf(rules).flatMap(rule => {
    const name = get(rule, 'operatorName')
    if (typeof name !== 'string') return []
    const inside = [
      ...arrayOf(get(rule, 'propertiesNotSatisfied')).flatMap(property => rulesOf(get(property, 'details'), join(path, String(get(property, 'propertyName'))))),
      ...arrayOf(get(rule, 'missingProperties')).map(missing => ({ path: join(path, String(missing)), rule: name })),
      ...itemsOf(rule, path)
    ]
    return inside.length ? inside : [{ path, rule: name }]
  })
}

/** `items` tells which of them failed, and why, in `details`. */
function itemsOf (rule: unknown, path: string): ValidationFailure[] {
  const index = get(rule, 'itemIndex')
  return index === undefined ? [] : rulesOf(get(rule, 'details'), `${path}[${String(index)}]`)
}

const get = (value: unknown, key: string): unknown => (value as Record<string, unknown> | null | undefined)?.[key]
const arrayOf = (value: unknown): unknown[] => Array.isArray(value) ? value : []
const join = (path: string, name: string) => path === '' ? name : `${path}.${name}`
