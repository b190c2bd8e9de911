// Makes the golden files in this directory from cases.json:
//
//   NODE_PATH=<where smpp 0.5.1 is installed> node make.js
//
// The octets are those of npm's smpp 0.5.1, and of Perl's Net::SMPP 1.19
// (make.pl; Debian: libnet-smpp-perl). What both can make must be the same. A
// case names the one that cannot make it in "not", with the reason.
'use strict';
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const smpp = require('smpp');

smpp.addTLV('0x1501', { id: 0x1501, type: smpp.types.tlv.int8 }); // a carrier's own

const file = (name) => path.join(__dirname, name);
const cases = JSON.parse(fs.readFileSync(file('cases.json'), 'utf8'));
const perl = JSON.parse(execFileSync('perl', [file('make.pl'), file('cases.json')], { encoding: 'utf8' }));

/** An array is text (never all digits) and numbers of octets, put one after the other. */
const value = (v) => (Array.isArray(v) ? Buffer.concat(v.map((x) => Buffer.from(typeof x === 'number' ? [x] : x))) : v);

function octets({ command, status, sequence, fields }) {
  const options = { command_status: status || 0, sequence_number: sequence };
  for (const [name, v] of Object.entries(fields)) {
    options[name] = value(v);
  }
  return new smpp.PDU(command, options).toBuffer().toString('hex');
}

for (const c of cases) {
  const by = [];
  const not = c.not || {};
  let hex;
  if (!not.node) {
    hex = octets(c);
    by.push('npm smpp 0.5.1');
  }
  if (!not.perl) {
    if (hex && hex !== perl[c.name]) {
      throw new Error(`${c.name}: the two differ:\n${hex}\n${perl[c.name]}`);
    }
    hex = perl[c.name];
    by.push('Net::SMPP 1.19');
  }
  const lines = [
    `# ${c.command}, SMPP 3.4 §${c.section}: ${c.title}`,
    `# Made by ${by.join(' and ')}, see make.js.`,
    ...Object.values(not).map((reason) => `# ${reason}`),
    '#',
    `# command_status ${c.status || 0}`,
    `# sequence_number ${c.sequence}`,
    ...Object.entries(c.fields).map(([name, v]) => `# ${name} ${JSON.stringify(v)}`),
    ...hex.match(/.{1,32}/g).map((line) => line.match(/../g).join(' ')),
  ];
  fs.writeFileSync(file(`${c.name}.golden`), lines.join('\n') + '\n');
}
