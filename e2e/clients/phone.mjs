// A person with a browser before the virtual phone. It finds its way by what a
// person sees and hears of the page: roles, names and words.
import { chromium } from 'playwright-core';
import { serve, setting } from './lines.mjs';

const browser = await chromium.launch({
  executablePath: setting('CHROMIUM'),
  args: ['--disable-gpu', '--disable-quic', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const page = await browser.newPage({ baseURL: setting('SERVER_URL'), viewport: { width: 1100, height: 900 } });

// What a person with the developer tools open would see.
const complaints = [];
page.on('console', (message) => {
  if (message.type() === 'error' || message.type() === 'warning') {
    complaints.push(message.text());
  }
});
page.on('pageerror', (error) => complaints.push(error.message));

const log = page.getByRole('log');
const audio = log.locator('audio').last();

await serve({
  open: async (number) => {
    await page.goto(number === '' ? '/phone' : `/phone?number=${number}`);
    await page.getByRole('status').getByText('Live').waitFor();
  },
  // Waits until the text of an SMS is there, without a reload.
  read: (text) => log.getByText(text, { exact: true }).waitFor(),
  // Waits for a call, answers it, and listens until the voice has spoken a second.
  answer: async () => {
    await log.getByRole('button', { name: /^Answer/ }).click();
    await audio.evaluate(
      (element) =>
        new Promise((resolve, reject) => {
          element.addEventListener('error', () => reject(new Error(element.error.message)));
          element.addEventListener('timeupdate', () => element.currentTime > 1 && resolve());
        }),
    );
    return audio.evaluate(({ duration, currentTime, paused }) => ({ duration, currentTime, paused }));
  },
  hangUp: async () => {
    await log.getByRole('button', { name: /^Hang up/ }).click();
    await log.getByText('Call ended').waitFor();
    return audio.evaluate(({ paused }) => ({ paused }));
  },
  callState: async () => ({ state: await audio.evaluate((element) => element.closest('.call').dataset.state) }),
  picture: (path) => page.screenshot({ path }).then(() => undefined),
  complaints: async () => ({ complaints }),
});
await browser.close();
