// An SMSC with npm's smpp that accepts every bind and every message. It prints its address
// first, and exits when its standard input is closed.
'use strict';
const smpp = require('smpp');

let n = 0;
const server = smpp.createServer((session) => {
  const accept = (pdu) => session.send(pdu.response());
  session.on('bind_transceiver', accept);
  session.on('bind_transmitter', accept);
  session.on('enquire_link', accept);
  session.on('submit_sm', (pdu) => session.send(pdu.response({ message_id: String(++n) })));
  session.on('unbind', (pdu) => {
    session.send(pdu.response());
    session.close();
  });
  session.on('error', () => {}); // the client is gone
});
server.listen(0, '127.0.0.1', () => console.log(`127.0.0.1:${server.address().port}`));
process.stdin.on('end', () => process.exit(0)).resume();
