// Keeps the page fresh: asks for it again at an interval that is chosen in the foot, and takes over the parts that are
// marked with data-live. Says so when the server does not answer, and goes on trying.

import { morphChildren } from "./morph.js";
import { text } from "./texts.js";

const KEY = "faktory.interval";
const USUAL_SECONDS = 5;
const LONGEST_WAIT_MS = 30_000;
const LONGEST_ANSWER_MS = 30_000;

const chooser = document.querySelector("[data-interval]");
const banner = document.getElementById("connection");
let timer = 0;
let failures = 0;
let lostAt = null;
let asking = false;

export function interval() {
  const kept = Number(localStorage.getItem(KEY) ?? USUAL_SECONDS);
  return [0, 2, 5, 10, 30, 60].includes(kept) ? kept : USUAL_SECONDS;
}

function tell(name, detail = {}) {
  document.dispatchEvent(new CustomEvent(name, { detail }));
}

function isBusy() {
  return document.hidden || document.querySelector("dialog[open]") !== null;
}

function schedule() {
  clearTimeout(timer);
  const seconds = interval();
  if (!seconds || !document.querySelector("[data-live]")) return;
  const wait = failures ? Math.min(1000 * 2 ** (failures - 1), LONGEST_WAIT_MS) : seconds * 1000;
  timer = setTimeout(refresh, wait);
}

function take(fresh) {
  let changed = 0;
  const focused = document.activeElement;
  for (const part of document.querySelectorAll("[data-live][id]")) {
    const newer = fresh.getElementById(part.getAttribute("id"));
    if (!newer || part.parentElement.closest("[data-live]")) continue;
    for (const name of Object.keys(newer.dataset)) part.dataset[name] = newer.dataset[name];
    morphChildren(part, newer);
    changed += 1;
  }
  // An element that was put elsewhere has lost the focus.
  if (focused?.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
  return changed;
}

function lost(sentence) {
  failures += 1;
  if (banner.textContent !== sentence) banner.replaceChildren(sentence);
  if (banner.hidden) tell("faktory:lost");
  banner.hidden = false;
  banner.classList.add("banner-danger");
  banner.classList.remove("banner-ok");
}

function recovered() {
  if (!failures) return;
  failures = 0;
  lostAt = null;
  banner.replaceChildren(text("recovered"));
  banner.classList.replace("banner-danger", "banner-ok");
  setTimeout(() => failures || (banner.hidden = true), 4000);
  tell("faktory:recovered");
}

// What a search has found stays as it is: its page asks for a cheaper one, whose numbers are as fresh.
function address() {
  return document.querySelector("[data-live-from]")?.dataset.liveFrom || location.href;
}

async function ask() {
  const answer = await fetch(address(), { cache: "no-store", signal: AbortSignal.timeout(LONGEST_ANSWER_MS) });
  if (answer.status === 401) lost(text("unauthorized"));
  else if (!answer.ok && answer.status !== 404) lost(text("failed", String(answer.status)));
  else {
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    // Whoever opened a dialog meanwhile wants things to stay where they are.
    if (!isBusy()) tell("faktory:refreshed", { fresh, changed: answer.ok ? take(fresh) : 0 });
    recovered();
  }
}

export async function refresh() {
  if (asking) return;
  if (isBusy()) {
    schedule();
    return;
  }
  asking = true;
  try {
    await ask();
  } catch {
    lostAt ??= new Date();
    lost(text("lost", lostAt.toLocaleTimeString(document.documentElement.dataset.intl)));
  } finally {
    asking = false;
    schedule();
  }
}

if (chooser) {
  chooser.value = String(interval());
  chooser.addEventListener("change", (event) => {
    event.stopPropagation(); // it is kept in the browser, not in a cookie
    localStorage.setItem(KEY, chooser.value);
    tell("faktory:interval");
    schedule();
  });
}
document.addEventListener("visibilitychange", () => document.hidden || !interval() || refresh());
addEventListener("online", () => failures && refresh());
schedule();
