// nexmo 2.9.1, the SDK before it. It sends everything in the query of a GET,
// and speaks plain HTTP as soon as it is given a port other than 443. With a
// signature secret it signs in place of sending the API secret.
import Nexmo from 'nexmo';
import { serve, setting } from './lines.mjs';

const server = new URL(setting('SERVER_URL'));
const { verify } = new Nexmo(
  {
    apiKey: setting('API_KEY'),
    apiSecret: setting('API_SECRET'),
    signatureSecret: process.env.SIGNATURE_SECRET,
    signatureMethod: process.env.SIGNATURE_METHOD,
  },
  { apiHost: server.hostname, port: Number(server.port) },
);

/** Turns a method that takes a callback into one that returns a promise. */
const promised = (method) => (params) =>
  new Promise((resolve, reject) => {
    verify[method](params, (error, result) => (error ? reject(error) : resolve(result)));
  });
const control = promised('control');

await serve({
  start: promised('request'),
  psd2: promised('psd2'),
  check: (requestId, code) => promised('check')({ request_id: requestId, code }),
  search: promised('search'), // one id, or an array of ids
  cancel: (requestId) => control({ request_id: requestId, cmd: 'cancel' }),
  trigger: (requestId) => control({ request_id: requestId, cmd: 'trigger_next_event' }),
});
