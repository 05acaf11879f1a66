// Keys: places (g and a letter), the search, the rows of a table. ? shows them. None of them in a field.

import { make } from "./element.js";
import { text } from "./texts.js";

const PLACES = { d: "dashboard", q: "queues", s: "scheduled", r: "retries", x: "dead", b: "busy", a: "batches", t: "tracking" };
const PATIENCE_MS = 1500; // between g and the letter

let awaited = 0; // until when a letter belongs to a g

function rows() {
  return [...document.querySelectorAll("main table tbody tr[data-key]")];
}

function current() {
  return document.querySelector("tr[data-here]");
}

function move(by) {
  const all = rows();
  if (!all.length) return;
  const index = all.indexOf(current());
  const next = all[index < 0 ? 0 : Math.min(Math.max(index + by, 0), all.length - 1)];
  current()?.removeAttribute("data-here");
  next.setAttribute("data-here", "");
  next.scrollIntoView({ block: "nearest" });
  next.querySelector("a, input, button")?.focus({ preventScroll: true });
}

function search(event) {
  const field = document.querySelector("main [data-filter] input:not([type=hidden])") ?? document.getElementById("search");
  if (!field) return;
  event.preventDefault();
  const folded = field.closest("details");
  if (folded) folded.open = true;
  field.focus();
  field.select?.();
}

function help() {
  if (document.getElementById("shortcuts")) return;
  const list = make("dl", { class: "keys" });
  const add = (keys, meaning) => {
    const told = make("dt");
    keys.forEach((key, index) => told.append(index ? " " : "", make("kbd", {}, key)));
    list.append(told, make("dd", {}, meaning));
  };
  add(["?"], text("key-help"));
  add(["/"], text("key-search"));
  for (const [key, tab] of Object.entries(PLACES)) {
    add(["g", key], document.querySelector(`[data-tab="${tab}"]`)?.textContent ?? tab);
  }
  add(["j", "k"], text("key-rows"));
  add(["x"], text("key-check"));
  add(["o"], text("key-open"));
  const close = make("button", { type: "button", class: "button" }, text("close"));
  const title = make("h2", { id: "shortcuts-title" }, text("keys"));
  const dialog = make("dialog", { id: "shortcuts", "aria-labelledby": "shortcuts-title" });
  dialog.append(title, list, make("div", { class: "dialog-actions" }, close));
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

function press(event) {
  if (performance.now() < awaited) {
    awaited = 0;
    const tab = PLACES[event.key];
    if (tab) document.querySelector(`[data-tab="${tab}"]`)?.click();
    return;
  }
  if (event.key === "g") awaited = performance.now() + PATIENCE_MS;
  else if (event.key === "?") help();
  else if (event.key === "/") search(event);
  else if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else if (event.key === "x") current()?.querySelector("input[data-select]")?.click();
  else if (event.key === "o") current()?.querySelector("a")?.click();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target.closest?.("input:not([type=checkbox]), select, textarea, [contenteditable], dialog")) return;
  press(event);
});
