// Keeps the virtual phone up to date. The server sends the whole list after each change;
// this script fills the templates of the page for new entries. It inserts the text of
// messages as text, never as markup.
"use strict";

const log = document.getElementById("log");
const entries = log.querySelector(".entries");
const link = document.getElementById("link");

document.documentElement.classList.add("js"); // the style sheet then shows elements that need the script

// --- Entries ---------------------------------------------------------------

const byKey = new Map(); // the entries on the page

// newEntry creates the entry of a message that arrived after the page was rendered.
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

// show updates the entries to the list. It inserts new entries and removes old ones. It
// does not touch the others, since a call may be playing in them.
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

// showTime shows a time in the local time zone.
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

const ringsFor = 30_000; // milliseconds until the call is missed

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

// The states of a call: the text of the state and the label of the button.
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

// Key of the answered calls in localStorage, newest last. They ring neither after a reload
// nor on another page.
const answeredCalls = "countersign.phone.answered";
const maxAnswered = 200; // more than the entries of a page

function answered() {
  try {
    const keys = JSON.parse(localStorage.getItem(answeredCalls));
    return Array.isArray(keys) ? keys : [];
  } catch { // no storage or invalid content
    return [];
  }
}

function rememberAnswer(key) {
  const keys = [...answered().filter((other) => other !== key), key].slice(-maxAnswered);
  try {
    localStorage.setItem(answeredCalls, JSON.stringify(keys));
  } catch {
    // without storage the call rings again after a reload
  }
}

// Another page of this browser answered a call.
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
  item.scrollIntoView({ block: "nearest" }); // the entry has grown
  audio.play().catch((error) => {
    if (error.name !== "AbortError") { // hung up before the start
      setCall(item, "broken");
    }
  });
}

// The controls of the audio element also end and resume a call. Media events do not
// bubble, so the listener uses the capture phase.
for (const event of ["play", "pause", "ended", "error"]) {
  entries.addEventListener(event, ({ target: audio }) => {
    const state = audio.error !== null ? "broken" : audio.paused ? "ended" : "talking";
    const item = audio.closest(".call");
    if (state === "talking") {
      rememberAnswer(item.dataset.key); // also for a start by the controls
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

// copyText selects the text if the page may not use the clipboard, as with plain http from
// another machine.
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

const retryAfter = 3000; // milliseconds, after a refusal such as 503

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
    // The browser reconnects after a lost connection, but not after a response such as
    // 503.
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

// A hidden page closes its connection, since browsers allow only six per site. The list
// that it receives after reconnecting is complete.
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
