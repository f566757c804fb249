/** The surface is small enough to learn in five minutes, and complete. */
import { join } from 'node:path'
import t from 'tap'
import ts from 'typescript'
import * as main from '../../index.js'
import { root } from '../support/documents.js'

const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile)
const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root)
const program = ts.createProgram([join(root, 'index.ts')], options)
const checker = program.getTypeChecker()
const exported = checker.getExportsOfModule(
  checker.getSymbolAtLocation(program.getSourceFile(join(root, 'index.ts'))!)!
)

t.test('at most 16 values and 40 types', async t => {
  const values = Object.keys(main).filter(name => name !== 'default')
  const types = exported.map(({ name }) => name).filter(name => name !== 'default' && !values.includes(name))
  t.ok(values.length >= 10 && values.length <= 16, `${values.length}: ${values.join(', ')}`)
  t.ok(types.length >= 30 && types.length <= 40, `${types.length}: ${types.join(', ')}`)
})

t.test('ErrorCode lists the codes of all errors', async t => {
  const declared = checker.getDeclaredTypeOfSymbol(
    checker.getAliasedSymbol(exported.find(({ name }) => name === 'ErrorCode')!)
  ) as ts.UnionType
  const listed = declared.types.map(type => (type as ts.StringLiteralType).value)
  const classes = Object.values(main.errors).filter(each => String(each).includes('FastifyError')) as unknown as Array<
    new () => { code: string }
  >
  t.ok(classes.length >= 10)
  t.strictSame(classes.map(each => (Reflect.construct(each, []) as { code: string }).code).sort(), listed.sort())
})
