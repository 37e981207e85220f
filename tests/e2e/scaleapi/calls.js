'use strict'
/* Every call of the official client; what came of each is a line of JSON. */
const path = process.env.SCALE_CLIENT
const scaleapi = require(require.resolve('scaleapi', { paths: [path] }))
const [test, live, wrong] = ['test_made_up', 'live_made_up', 'wrong'].map(key => scaleapi.ScaleClient(key))

const plain = value => JSON.parse(JSON.stringify(value, (name, v) => name === 'client' ? undefined : v))

function call (name, object, method, ...args) {
  return new Promise(resolve => object[method](...args, (error, result) => {
    const isException = error instanceof scaleapi.ScaleException
    console.log(JSON.stringify({
      name, error: error ? { message: error.message, code: error.errcode, isException } : null,
      result: error ? null : plain(result)
    }))
    resolve(error ? null : result)
  }))
}

const base = {
  callback_url: 'http://127.0.0.1:9/callback',
  instruction: 'What is it?',
  attachment_type: 'image',
  attachment: 'http://www.example.com/1.jpg'
}
const params = {
  Categorization: { categories: ['big', 'small'], category_ids: { 1: 'big', 2: 'small' }, allow_multiple: true },
  Comparison: { attachments: ['http://www.example.com/1.jpg', 'http://www.example.com/2.jpg'], choices: ['yes', 'no'] },
  Datacollection: { fields: { a: 'A' } },
  Transcription: { fields: { a: 'A' }, repeatable_fields: { b: 'B' } },
  Audiotranscription: { attachment_type: 'audio', verbatim: false, phrases: ['avocado'] },
  Annotation: { objects_to_annotate: ['cow'], with_labels: true, min_width: '30', examples: [
    { correct: true, image: 'http://www.example.com/3.jpg', explanation: 'tight' }] },
  Polygonannotation: { objects_to_annotate: ['cow'], with_labels: true },
  Lineannotation: { objects_to_annotate: ['leg'], splines: true },
  Pointannotation: { objects_to_annotate: ['cow'] },
  Cuboidannotation: { objects_to_annotate: ['cow'] },
  Segmentannotation: { labels: ['cow', 'background'], allow_unlabeled: true }
}

async function main () {
  for (const [type, more] of Object.entries(params)) {
    await call(`create ${type}`, test, `create${type}Task`, { ...base, ...more })
    await call(`fail ${type}`, test, `create${type}Task`, { callback_url: base.callback_url, attachment_type: 'image' })
  }
  await call('createTask', test, 'createTask', 'categorization', { ...base, categories: ['a'] })
  await call('createTask unknown', test, 'createTask', 'unheard-of', base)

  const done = await call('done', test, 'createCategorizationTask', { ...base, categories: ['a'] })
  await call('refresh', done, 'refresh')
  await call('cancel done', done, 'cancel')
  const open = await call('open', live, 'createCategorizationTask', { ...base, categories: ['a'], metadata: { a: 'b' } })
  await call('fetchTask', live, 'fetchTask', open.id)
  await call('cancelTask', live, 'cancelTask', open.id)
  await call('fetchTask unknown', live, 'fetchTask', '576ba74eec471ff9b01557cc')
  await call('cancelTask unknown', live, 'cancelTask', '576ba74eec471ff9b01557cc')

  await call('tasks', live, 'tasks', {})
  await call('tasks filtered', live, 'tasks', {
    start_time: new Date(Date.now() - 3600e3).toISOString(), end_time: new Date(Date.now() + 3600e3).toISOString(),
    status: 'canceled', type: 'categorization', limit: 1, offset: 0
  })
  await call('tasks bad', live, 'tasks', { limit: 1000 })
  await call('no key', wrong, 'tasks', {})
}

main()
