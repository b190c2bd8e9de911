// An SMSC of npm's smpp 0.5.1 that does what the test says: it answers nothing by
// itself. lines.mjs tells how it is called. Octets that are no text are
// {"hex": "..."} in JSON.
'use strict';
const smpp = require('smpp');

const times = ['schedule_delivery_time', 'validity_period', 'final_date'];
smpp.addTLV('carrier_own', { id: 0x1501, type: smpp.types.tlv.int8 });

/** What the library decoded, as JSON. */
function seen(v, name) {
  if (name === 'udh') {
    return { hex: Buffer.concat(v).toString('hex') }; // its elements, without the length
  }
  if (Buffer.isBuffer(v)) {
    return { hex: v.toString('hex') };
  }
  if (v instanceof Date) {
    return v.toISOString();
  }
  if (v === null || typeof v !== 'object') {
    return v;
  }
  return Object.fromEntries(Object.entries(v).map(([key, value]) => [key, seen(value, key)]));
}

/** The reverse of seen. */
function meant(v, name) {
  if (times.includes(name) && v) {
    return new Date(v);
  }
  if (v === null || typeof v !== 'object') {
    return v;
  }
  if ('hex' in v) {
    const octets = Buffer.from(v.hex, 'hex');
    return name === 'udh' ? Buffer.concat([Buffer.from([octets.length]), octets]) : octets;
  }
  return Object.fromEntries(Object.entries(v).map(([key, value]) => [key, meant(value, key)]));
}

const arrived = []; // and not asked for yet
let tell = () => {};

/** Notes what comes, for receive. */
function note(what) {
  arrived.push(what);
  tell();
}

let session;
let connect;
const connected = new Promise((resolve) => {
  connect = resolve;
});
const server = smpp.createServer((s) => {
  session = s;
  s.on('pdu', (pdu) => note(seen(pdu)));
  s.on('error', (error) => note({ error: error.message }));
  s.on('close', () => note({ closed: true }));
  connect();
});

const calls = {
  /** Takes a port that is free. */
  listen: () =>
    new Promise((resolve, reject) => {
      server.on('error', reject);
      server.listen(0, '127.0.0.1', () => resolve({ port: server.address().port }));
    }),

  /** Sends a PDU with these fields, as soon as there is a connection. */
  send: async (command, fields) => {
    await connected;
    return { sent: session[command](meant(fields)) };
  },

  /** The next PDU, with all that was decoded. */
  receive: async () => {
    while (arrived.length === 0) {
      await new Promise((resolve) => {
        tell = resolve;
      });
    }
    return arrived.shift();
  },
};

import('./lines.mjs')
  .then(({ serve }) => serve(calls))
  .then(() => process.exit(0));
