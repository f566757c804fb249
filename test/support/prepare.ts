/** Before the tests, each of which is a process: downloads mongod if that is what they will run on, and says what it is. */
import { developmentMongoDB } from '../../examples/mongodb.js'

const mongo = await developmentMongoDB()
await mongo.stop()
console.log(`The tests run on ${mongo.description}.`)
