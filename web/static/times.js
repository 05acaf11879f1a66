// Times that go on: relative ones tick, exact ones are in the zone that was chosen. The units are those of the server.

import { locale, text } from "./texts.js";

const UNITS = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
  ["second", 1],
];
const relative = new Intl.RelativeTimeFormat(locale, { numeric: "always" });
const exact = {
  utc: new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "medium", timeZone: "UTC" }),
  local: new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "long" }),
};
const shortUnits = new Map();

// The server's clock counts: it is what it wrote, and how long ago it wrote it.
let ahead = 0;

function setClock() {
  const written = Number(document.getElementById("summary")?.dataset.now) * 1000;
  if (written) ahead = written - Date.now();
}

export function serverNow() {
  return (Date.now() + ahead) / 1000;
}

export function formatRelative(seconds) {
  const past = Math.trunc(Math.abs(seconds));
  if (!past) return text("now");
  const [unit, length] = UNITS.find(([, size]) => past >= size);
  const count = Math.trunc(past / length);
  return relative.format(seconds > 0 ? -count : count, unit);
}

function formatUnit(value, unit) {
  if (!shortUnits.has(unit)) {
    shortUnits.set(unit, new Intl.NumberFormat(locale, { style: "unit", unit, unitDisplay: "short" }));
  }
  return shortUnits.get(unit).format(value).replace(" ", "\u00a0");
}

export function formatDuration(seconds) {
  let left = Math.trunc(Math.abs(seconds));
  const units = UNITS.slice(2);
  const first = Math.max(units.findIndex(([, length]) => left >= length), 0);
  const parts = [];
  for (const [unit, length] of left ? units.slice(first, first + 2) : [["second", 1]]) {
    const count = Math.trunc(left / length);
    left %= length;
    if (count || !parts.length) parts.push(formatUnit(count, unit));
  }
  return parts.join(" ");
}

export function formatExact(date) {
  const zone = document.documentElement.dataset.zone === "local" ? "local" : "utc";
  return exact[zone].format(date) + (zone === "utc" ? " UTC" : "");
}

function put(element, written) {
  if (element.textContent !== written) element.textContent = written;
}

function tick() {
  const now = serverNow();
  for (const element of document.querySelectorAll("time[data-relative], time[data-lasting]")) {
    const at = Date.parse(element.dateTime) / 1000;
    if (Number.isNaN(at)) continue;
    put(element, "relative" in element.dataset ? formatRelative(now - at) : formatDuration(now - at));
  }
}

function setZone() {
  for (const element of document.querySelectorAll("time[datetime]")) {
    const date = new Date(element.dateTime);
    if (Number.isNaN(date.getTime())) continue;
    if ("exact" in element.dataset) put(element, formatExact(date));
    else element.title = formatExact(date);
  }
}

function refresh() {
  setClock();
  setZone();
  tick();
}

refresh();
setInterval(() => document.hidden || tick(), 1000);
document.addEventListener("faktory:refreshed", refresh);
document.addEventListener("faktory:preferences", setZone);
document.addEventListener("visibilitychange", () => document.hidden || tick());
