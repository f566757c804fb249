/** `npm start`: says at once what it does, builds the page, and runs server.ts. */
console.log('\n  Building the page')
await import('./web/build.js')
console.log('  Starting the server')
await import('./server.js')
