/** `npm start`: says at once what it does, builds the page, and runs server.ts. */
console.log('\n  A todo app on PowerSync and MongoDB\n\n  Building the page')
await import('./web/build.js')
console.log('  Starting MongoDB and the server')
await import('./server.js')
