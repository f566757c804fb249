/**
 * What the server says of an operation's data, before the operation is queued: from the descriptions that
 * `powersync-mongo client-schema --validators` prints beside this module and the two that it imports.
 */
import type { OperationToCheck, TableDescription, Verdict } from '../../types/validators.js'
import { checking, idTest, kinds, rowReader, type Way } from './check.js'
import { DecodeFault, invalid, isObject, jsonTypeWords } from './values.js'

/** What a printed module exports, from the data that `client-schema --validators --json` prints. */
export const createValidators = (descriptions: Record<string, TableDescription>) => validatorsOf(descriptions, kinds)

/** The same, for descriptions of these kinds only: a bundle leaves the others out. */
function validatorsOf (descriptions: Record<string, TableDescription>, kinds: Way['kinds']) {
  const way = { ...checking, kinds }
  const judges = new Map(Object.entries(descriptions).map(([table, description]) => [table, judgeOf(description, way)]))
  const validate = (operation: OperationToCheck): Verdict | undefined => {
    const judge = judges.get(operation.table)
    if (judge) return judge(operation)
    return { code: 'SCHEMA_MISMATCH', message: "The table is not one of the server's collections" }
  }
  /** By table: a Standard Schema of whole rows, `id` included. */
  const tables = Object.fromEntries([...judges].map(([table, judge]) => [table, {
    '~standard': {
      version: 1 as const,
      vendor: 'fastify-powersync-mongo',
      validate (value: unknown) {
        if (!isObject(value)) return { issues: [{ message: `expected a row, found ${jsonTypeWords(value)}` }] }
        const { id, ...opData } = value
        const verdict = judge({ op: 'PUT', table, id: String(id), opData })
        if (!verdict) return { value }
        const { message, path } = verdict
        return { issues: [{ message, ...path && { path: [path.split(/[.[]/)[0]!] } }] }
      }
    }
  }]))
  /** By table: rules that only the server can check. */
  const serverRules = Object.fromEntries(Object.entries(descriptions).map(([table, { server }]) => [table, server]))
  return { validate, tables, serverRules }
}

function judgeOf (table: TableDescription, way: Way): (operation: OperationToCheck) => Verdict | undefined {
  const isId = table.id && idTest(table.id, way)
  const read = rowReader(Object.entries(table.columns).map(([column, [check, by]]) => ({
    column,
    name: column,
    check,
    nullable: check.n === 1,
    owner: by === 1 || table.perUser === 1,
    readOnly: by === 2
  })), table, way)
  return ({ op, id, opData = {} }) => {
    if (!table.operations.includes(op)) return { code: 'UNAUTHORIZED', message: `${op} is not allowed on this table` }
    const fault = isId && !isId(id)
      ? invalid(table.id!.e, 'other text').within('id')
      : op !== 'DELETE' && read({ op, id, data: way.parse(JSON.stringify(opData)) as Record<string, unknown> })
    return fault instanceof DecodeFault ? { code: fault.code, path: fault.path, message: fault.message } : undefined
  }
}
