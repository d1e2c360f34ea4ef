// A client that a test commands, one line for each command and answer: see ../libraries/program_test.go.
// Usage: node client.js owned|borrowed URL CLIENT-ID [CA-FILE]
//
// A borrowed client uses a NATS connection of the application, with an inbox for each request.
'use strict'

const fs = require('fs')
const nats = require('nats')
const readline = require('readline')
const stan = require('node-nats-streaming')

const [connection, url, id, ca] = process.argv.slice(2)
const say = (...words) => process.stdout.write(words.join(' ') + '\n')
const answer = (err) => err ? say('error', err.message || err) : say('ok')

const transport = { url, maxReconnectAttempts: -1, reconnectTimeWait: 50 }
if (ca) transport.tls = { ca: [fs.readFileSync(ca)] }
const options = { ...transport, connectTimeout: 60000, ackTimeout: 60000, stanPingInterval: 1000, stanMaxPingOut: 60 }
if (connection === 'borrowed') {
  options.nc = nats.connect({ ...transport, encoding: 'binary', useOldRequestStyle: true })
}
const client = stan.connect('test-cluster', id, options)
const subscriptions = new Map() // by name
const delivered = new Map() // messages by subscription and sequence
let closing = false

client.once('connect', () => answer())
client.on('error', answer)
client.on('reconnect', () => say('back'))
client.on('connection_lost', (err) => say('lost', err.message || err))
client.on('close', (err) => {
  if (closing) {
    answer(err)
    process.exit(0)
  }
})

// starts set the start position, by its name.
const starts = {
  new: (o) => o,
  first: (o) => o.setDeliverAllAvailable(),
  last: (o) => o.setStartWithLastReceived(),
  sequence: (o, n) => o.setStartAtSequence(n),
  ago: (o, seconds) => o.setStartAtTimeDelta(seconds * 1000)
}

const commands = {
  publish (channel, data) {
    client.publish(channel, data, answer)
  },
  subscribe (name, channel, group, durable, start, from, ackWait, maxInFlight) {
    const o = client.subscriptionOptions().setManualAckMode(true).setAckWait(ackWait * 1000).setMaxInFlight(Number(maxInFlight))
    starts[start](o, Number(from))
    if (durable !== '-') o.setDurableName(durable)
    const sub = group === '-' ? client.subscribe(channel, o) : client.subscribe(channel, group, o)
    sub.once('ready', () => answer())
    sub.once('error', answer)
    sub.on('message', (msg) => {
      delivered.set(name + ' ' + msg.getSequence(), msg)
      say('message', name, msg.getSequence(), msg.isRedelivered() ? 1 : 0, msg.getData())
    })
    subscriptions.set(name, sub)
  },
  ack (name, sequence) {
    delivered.get(name + ' ' + sequence).ack()
    answer()
  },
  end (name, how) {
    const sub = subscriptions.get(name)
    sub.removeAllListeners('error')
    sub.once('error', answer)
    sub.once(how === 'unsubscribe' ? 'unsubscribed' : 'closed', () => answer())
    sub[how]()
  },
  close () {
    closing = true
    client.close()
  }
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const [command, ...words] = line.split(' ')
  commands[command](...words)
})
