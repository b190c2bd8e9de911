// A carrier of npm's smpp 0.5.1: it takes binds and messages, and sends receipts in
// the form of text, in which it writes the ids in decimal that it gave in
// hexadecimal. lines.mjs tells how it is called.
//
// What becomes of a message is told by the last digit of its number: 1 is refused,
// 2 cannot be delivered, all others are.
'use strict';
const smpp = require('smpp');

const password = process.env.SMPP_PASSWORD;
const messages = []; // whole ones
const parts = new Map(); // of messages that are not whole, by number and reference
let receipts = 0; // that the ESME took
let next = 0xb2d05e0a;

/** Adds a part, and gives the message that it makes whole. */
function join(pdu) {
  const { udh, message } = pdu.short_message;
  const about = { from: pdu.source_addr, to: pdu.destination_addr, coding: pdu.data_coding, validity: pdu.validity_period };
  if (!udh) {
    return { ...about, text: message, parts: 1 };
  }
  const [, , ref, total, seq] = udh[0]; // of a header with nothing else in it
  const key = `${about.to} ${ref}`;
  const have = parts.get(key) ?? [];
  have[seq - 1] = message;
  parts.set(key, have);
  return have.filter((part) => part !== undefined).length === total
    ? { ...about, text: have.join(''), parts: total }
    : undefined;
}

/** Sends the receipt of a message. */
function report(session, pdu, id) {
  const stat = pdu.destination_addr.endsWith('2') ? 'UNDELIV' : 'DELIVRD';
  const err = stat === 'DELIVRD' ? '000' : '034';
  session.deliver_sm(
    {
      source_addr: pdu.destination_addr,
      destination_addr: pdu.source_addr,
      esm_class: smpp.ESM_CLASS.MC_DELIVERY_RECEIPT,
      short_message: `id:${id} sub:001 dlvrd:001 submit date:2611230101 done date:2611230102 stat:${stat} err:${err} text:`,
    },
    () => {
      receipts++;
    },
  );
}

function submit(session, pdu) {
  if (pdu.destination_addr.endsWith('1')) {
    session.send(pdu.response({ command_status: smpp.ESME_RSUBMITFAIL }));
    return;
  }
  const id = next++;
  const whole = join(pdu);
  if (whole) {
    messages.push(whole);
  }
  session.send(pdu.response({ message_id: id.toString(16) }));
  if (pdu.registered_delivery) {
    setTimeout(report, 20, session, pdu, id);
  }
}

const server = smpp.createServer((session) => {
  session.on('error', () => {}); // the other side tells
  for (const kind of ['bind_transceiver', 'bind_transmitter', 'bind_receiver']) {
    session.on(kind, (pdu) => {
      const wrong = pdu.password !== password;
      session.send(pdu.response(wrong ? { command_status: smpp.ESME_RINVPASWD } : { system_id: 'npm' }));
    });
  }
  session.on('submit_sm', (pdu) => submit(session, pdu));
  session.on('enquire_link', (pdu) => session.send(pdu.response()));
  session.on('unbind', (pdu) => {
    session.send(pdu.response());
    session.close();
  });
});

const calls = {
  /** Takes a port that is free. */
  listen: () =>
    new Promise((resolve, reject) => {
      server.on('error', reject);
      server.listen(0, '127.0.0.1', () => resolve({ port: server.address().port }));
    }),

  /** What came, as it was decoded. */
  messages: async () => ({ messages, receipts }),
};

import('./lines.mjs')
  .then(({ serve }) => serve(calls))
  .then(() => process.exit(0));
