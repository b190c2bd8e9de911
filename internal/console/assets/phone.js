// Keeps the virtual phone up to date. The server sends the whole list whenever
// it changes; this script turns it into entries by filling the templates of the
// page. Text of messages goes into the page as text, never as markup.
"use strict";

const log = document.getElementById("log");
const entries = log.querySelector(".entries");
const link = document.getElementById("link");

document.documentElement.classList.add("js"); // the style sheet shows what needs a script

// --- Entries ---------------------------------------------------------------

const byKey = new Map(); // the entries on the page

// newEntry lays out a message that arrived after the page was rendered.
function newEntry(message) {
  const isCall = message.audio_url !== "";
  const template = document.getElementById(isCall ? "call" : "sms");
  const item = template.content.firstElementChild.cloneNode(true);
  item.dataset.key = message.key;
  for (const field of item.querySelectorAll("[data-field]")) {
    field.textContent = message[field.dataset.field];
  }
  const time = item.querySelector("time");
  time.dateTime = message.sent_at;
  showTime(time);
  for (const to of item.querySelectorAll("a.to")) {
    to.href = "/phone?number=" + encodeURIComponent(message.number);
  }
  for (const copy of item.querySelectorAll(".copy")) {
    copy.hidden = message.code === "";
  }
  if (isCall) {
    item.querySelector("audio").src = message.audio_url;
  }
  ring(item);
  return item;
}

// show makes the entries those of the list: what is there stays untouched (a
// call may be playing in it), what is new is put in its place, what is too old
// goes.
function show(messages) {
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
  const wanted = new Set(messages.map((message) => message.key));
  for (const [key, item] of byKey) {
    if (!wanted.has(key)) {
      item.remove();
      byKey.delete(key);
    }
  }
  let arrived = false;
  let place = entries.firstElementChild;
  for (const message of messages) {
    let item = byKey.get(message.key);
    if (item === undefined) {
      item = newEntry(message);
      item.classList.add("arrived");
      byKey.set(message.key, item);
      arrived = true;
    }
    if (item === place) {
      place = place.nextElementSibling;
    } else {
      entries.insertBefore(item, place);
    }
  }
  if (arrived && atEnd) {
    scrollToEnd();
  }
}

function scrollToEnd() {
  log.scrollTop = log.scrollHeight;
}

// showTime writes a time as the clock on the wall here shows it.
function showTime(time) {
  const date = new Date(time.dateTime);
  if (Number.isNaN(date.getTime())) {
    return;
  }
  const clock = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
  const day = { day: "numeric", month: "short" };
  const today = date.toDateString() === new Date().toDateString();
  time.textContent = date.toLocaleString([], today ? clock : { ...day, ...clock });
  time.title = date.toLocaleString();
}

// --- Calls -----------------------------------------------------------------

const ringsFor = 30_000; // milliseconds; then the caller gives up

function ring(item) {
  if (!item.classList.contains("call")) {
    return;
  }
  if (answered().includes(item.dataset.key)) {
    setCall(item, "ended");
    return;
  }
  const sentAt = Date.parse(item.querySelector("time").dateTime);
  const left = Math.min(ringsFor, sentAt + ringsFor - Date.now());
  if (left <= 0) {
    setCall(item, "missed");
    return;
  }
  setCall(item, "ringing");
  setTimeout(() => {
    if (item.dataset.state === "ringing") {
      setCall(item, "missed");
    }
  }, left);
}

// The states of a call: what the page says of it, and what its button does next.
const callStates = {
  ringing: ["Incoming call", "Answer"],
  missed: ["Missed call", "Answer"],
  talking: ["On the call", "Hang up"],
  ended: ["Call ended", "Play again"],
  broken: ["The call cannot be played", "Try again"],
};

function setCall(item, state) {
  const [words, label] = callStates[state];
  item.dataset.state = state;
  item.querySelector("[data-call=state]").textContent = words;
  item.querySelector("[data-call=label]").textContent = label;
}

// The browser remembers the calls that were answered in it, the newest last, so that
// they ring neither after a reload nor on another page.
const answeredCalls = "countersign.phone.answered";
const maxAnswered = 200; // more than a page shows

function answered() {
  try {
    const keys = JSON.parse(localStorage.getItem(answeredCalls));
    return Array.isArray(keys) ? keys : [];
  } catch { // no storage, or not a list
    return [];
  }
}

function rememberAnswer(key) {
  const keys = [...answered().filter((other) => other !== key), key].slice(-maxAnswered);
  try {
    localStorage.setItem(answeredCalls, JSON.stringify(keys));
  } catch {
    // no storage: the call rings again after a reload
  }
}

// Another page of this browser has answered a call.
addEventListener("storage", ({ key }) => {
  if (key !== answeredCalls) {
    return;
  }
  for (const answer of answered()) {
    const item = byKey.get(answer);
    if (item !== undefined && ["ringing", "missed"].includes(item.dataset.state)) {
      setCall(item, "ended");
    }
  }
});

function toggleCall(item) {
  const audio = item.querySelector("audio");
  if (item.dataset.state === "talking") {
    audio.pause();
    return;
  }
  item.querySelector("details").open = true;
  if (audio.error !== null) {
    audio.load();
  }
  audio.currentTime = 0;
  setCall(item, "talking");
  item.scrollIntoView({ block: "nearest" }); // it has grown
  audio.play().catch((error) => {
    if (error.name !== "AbortError") { // hung up before the first word
      setCall(item, "broken");
    }
  });
}

// The controls of the audio element end and resume a call too. Media events do
// not bubble, but they can be caught on their way down.
for (const event of ["play", "pause", "ended", "error"]) {
  entries.addEventListener(event, ({ target: audio }) => {
    const state = audio.error !== null ? "broken" : audio.paused ? "ended" : "talking";
    const item = audio.closest(".call");
    if (state === "talking") {
      rememberAnswer(item.dataset.key); // also if the controls of the element started it
    }
    setCall(item, state);
  }, true);
}

// --- Copying a code --------------------------------------------------------

async function copyCode(button) {
  const code = button.querySelector(".code");
  const label = button.querySelector("[data-copy=label]");
  label.textContent = (await copyText(code)) ? "Copied" : "Press Ctrl+C";
  clearTimeout(Number(button.dataset.timer));
  button.dataset.timer = setTimeout(() => { label.textContent = "Copy"; }, 2000);
}

// copyText falls back on a selection where the clipboard is closed to pages,
// which is on plain http from another machine.
async function copyText(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(element);
    return document.execCommand("copy");
  }
}

entries.addEventListener("click", (e) => {
  const copy = e.target.closest(".copy");
  if (copy !== null) {
    copyCode(copy);
  } else if (e.target.closest("[data-call=button]") !== null) {
    toggleCall(e.target.closest(".call"));
  }
});

// --- The connection --------------------------------------------------------

const retryAfter = 3000; // milliseconds, when the server turned us away

let source = null;
let retry = 0;

function connect() {
  if (source !== null) {
    return;
  }
  source = new EventSource(log.dataset.events);
  source.addEventListener("open", () => setLink("on", "Live"));
  source.addEventListener("messages", (e) => show(JSON.parse(e.data).messages));
  source.addEventListener("error", () => {
    setLink("off", "Reconnecting");
    // The browser comes back by itself from a lost connection, but not from an
    // answer such as 503.
    if (source.readyState === EventSource.CLOSED) {
      disconnect();
      retry = setTimeout(connect, retryAfter);
    }
  });
}

function disconnect() {
  clearTimeout(retry);
  source?.close();
  source = null;
}

function setLink(state, words) {
  if (link.dataset.state !== state) {
    link.dataset.state = state;
    link.textContent = words;
  }
}

// A page that nobody sees keeps no connection: browsers allow a site only six,
// and the list that a page gets when it is seen again has all that it missed.
function connectIfSeen() {
  if (document.visibilityState === "hidden") {
    disconnect();
  } else {
    connect();
  }
}

// --- The clock of the phone ------------------------------------------------

function tick() {
  const now = new Date();
  document.getElementById("clock").textContent =
    now.toLocaleTimeString([], { hour: "numeric", minute: "2-digit" });
  setTimeout(tick, 60_000 - (now % 60_000));
}

// --- Start -----------------------------------------------------------------

for (const item of entries.children) {
  byKey.set(item.dataset.key, item);
  showTime(item.querySelector("time"));
  ring(item);
}
scrollToEnd();
tick();
if (log.dataset.events !== "") {
  document.addEventListener("visibilitychange", connectIfSeen);
  connectIfSeen();
}
