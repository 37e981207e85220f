'use strict'
/* Loaded before the official client, which has its address built in: requests to it go to SCALE_API_URL. Nothing of
 * the client is changed. */
const request = require(require.resolve('request', { paths: [process.env.SCALE_CLIENT] }))

for (const method of ['get', 'post']) {
  const original = request[method]
  request[method] = (options, done) => original(
    { ...options, url: options.url.replace('https://api.scaleapi.com/v1', process.env.SCALE_API_URL) }, done)
}
