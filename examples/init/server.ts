import { app } from './app.js'

const port = Number(process.env['PORT'] ?? 3000)

app.listen({ host: process.env['HOST'] ?? '127.0.0.1', port }).catch(error => {
  app.log.error(error)
  app.log.error(
    'If no MongoDB runs: "docker compose up --detach --wait mongo" starts one, or set MONGO_URI in .env ' +
    'to a replica set, such as one of MongoDB Atlas'
  )
  process.exit(1)
})
