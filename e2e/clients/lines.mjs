// The wire between a Go test and a client: one JSON object per line.
//
//	stdin   {"call": "check", "args": ["<request id>", "1234"]}
//	stdout  {"result": {...}}   what the client returned
//	        {"error": {"message": "..."}}   what it threw, or gave to its callback
//
// Calls are answered in the order they came. The program ends with its stdin.
import { createInterface } from 'node:readline';

const patience = 30_000; // milliseconds, for one call

/** Fails after ms, unless the program has ended. */
const giveUp = (ms) =>
  new Promise((_, reject) => {
    setTimeout(() => reject(new Error(`nothing after ${ms} ms`)), ms).unref();
  });

/** Answers each line from stdin with the call of that name in calls. */
export async function serve(calls) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { call, args } = JSON.parse(line);
    if (!Object.hasOwn(calls, call)) {
      throw new Error(`unknown call ${call}, have ${Object.keys(calls).join(' ')}`);
    }
    let answer;
    try {
      answer = { result: await Promise.race([calls[call](...args), giveUp(patience)]) };
    } catch (error) {
      answer = { error: { message: error.message } };
    }
    process.stdout.write(JSON.stringify(answer) + '\n');
  }
}

/** Reads a setting that the test passes by environment. */
export function setting(name) {
  const value = process.env[name];
  if (!value) {
    throw new Error(`${name} is not set`);
  }
  return value;
}
