/**
 * Keeps the page's files, so that it opens without a network. Data is none of its business: that is in SQLite.
 * The build puts `version` and `files` before this.
 */
/* global caches, clients, fetch, files, self, version */

self.addEventListener('install', event => {
  event.waitUntil(caches.open(version).then(cache => cache.addAll(files)).then(() => self.skipWaiting()))
})

self.addEventListener('activate', event => {
  event.waitUntil(caches.keys()
    .then(names => Promise.all(names.filter(name => name !== version).map(name => caches.delete(name))))
    .then(() => clients.claim()))
})

self.addEventListener('fetch', event => {
  const { origin, pathname } = new URL(event.request.url)
  if (event.request.method !== 'GET' || origin !== self.location.origin || !files.includes(pathname)) return
  // The names of the other files change with what is in them.
  event.respondWith(pathname === '/'
    ? fetch(event.request).catch(() => caches.match('/'))
    : caches.match(pathname).then(kept => kept ?? fetch(event.request)))
})
