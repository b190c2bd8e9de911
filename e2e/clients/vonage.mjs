// @vonage/server-sdk, the vendor's present Node SDK. It sends its credentials by
// HTTP Basic, JSON bodies by POST, and a search by GET. Its search takes one id.
import { Vonage } from '@vonage/server-sdk';
import { serve, setting } from './lines.mjs';

const { verify } = new Vonage(
  { apiKey: setting('API_KEY'), apiSecret: setting('API_SECRET') },
  { apiHost: setting('SERVER_URL') },
);

/** Names parameters as users of this SDK do: codeLength for code_length. */
const camelCase = (params) =>
  Object.fromEntries(
    Object.entries(params).map(([name, value]) => [
      name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase()),
      value,
    ]),
  );

await serve({
  start: (params) => verify.start(camelCase(params)),
  psd2: (params) => verify.start(camelCase(params)), // a payee in place of a brand
  check: (requestId, code) => verify.check(requestId, code),
  search: (requestId) => verify.search(requestId),
  cancel: (requestId) => verify.cancel(requestId),
  trigger: (requestId) => verify.trigger(requestId),
});
