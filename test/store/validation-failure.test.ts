import t from 'tap'
import { validationFailures } from '../../lib/store/mongodb-errors.js'

const errInfo = (...rules: object[]) => ({
  failingDocumentId: 'a',
  details: { operatorName: '$jsonSchema', schemaRulesNotSatisfied: rules }
})
const type = {
  operatorName: 'bsonType',
  specifiedAs: { bsonType: 'int' },
  reason: 'type did not match',
  consideredValue: 'secret',
  consideredType: 'string'
}

t.test('a server\'s errInfo becomes fields and rules, at any depth, without a value', async t => {
  const failures = validationFailures(errInfo(
    { operatorName: 'required', specifiedAs: { required: ['name', 'age'] }, missingProperties: ['age'] },
    {
      operatorName: 'properties',
      propertiesNotSatisfied: [
        { propertyName: 'count', description: 'a count', details: [type] },
        {
          propertyName: 'address',
          details: [
            {
              operatorName: 'properties',
              propertiesNotSatisfied: [
                { propertyName: 'street', details: [{ operatorName: 'maxLength', consideredValue: 'secret' }] }
              ]
            },
            { operatorName: 'required', missingProperties: ['city'] }
          ]
        },
        {
          propertyName: 'tags',
          details: [
            {
              operatorName: 'items',
              reason: 'At least one item did not match the sub-schema',
              itemIndex: 2,
              details: [type]
            }
          ]
        }
      ]
    }
  ))
  t.same(failures, [
    { path: 'age', rule: 'required' },
    { path: 'count', rule: 'bsonType' },
    { path: 'address.street', rule: 'maxLength' },
    { path: 'address.city', rule: 'required' },
    { path: 'tags[2]', rule: 'bsonType' }
  ])
  t.notMatch(JSON.stringify(failures), /secret/)
})

t.test('what is of an unknown form gives nothing, or the rule alone', async t => {
  for (const unknown of [
    undefined,
    null,
    'text',
    {},
    { details: { operatorName: '$expr' } },
    { details: null },
    errInfo({}),
    errInfo({ operatorName: 5 })
  ]) { t.same(validationFailures(unknown), []) }
  t.same(validationFailures(errInfo({ operatorName: 'anyOf', schemasNotSatisfied: [] })), [{ path: '', rule: 'anyOf' }])
})
