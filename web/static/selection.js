// Checked rows: how many, all at once, ranges with the shift key, and buttons that need some.

import { number, text } from "./texts.js";

function boxes(form) {
  return [...form.querySelectorAll("input[data-select]")];
}

export function update(form) {
  const all = boxes(form);
  const checked = all.filter((box) => box.checked).length;
  for (const button of form.querySelectorAll("[data-needs-selection]")) button.disabled = !checked;
  for (const told of form.querySelectorAll("[data-selected-count]")) {
    const sentence = text("checked", number(checked));
    if (told.textContent !== sentence) told.textContent = sentence;
  }
  for (const bar of form.querySelectorAll("[data-bulk]")) bar.toggleAttribute("data-any", checked > 0);
  for (const master of form.querySelectorAll("input[data-select-all]")) {
    master.hidden = false;
    master.disabled = !all.length;
    master.checked = checked > 0 && checked === all.length;
    master.indeterminate = checked > 0 && checked < all.length;
  }
}

let last = null; // the box that was clicked before, where a range begins

function extend(form, box) {
  const all = boxes(form);
  const [from, to] = [all.indexOf(last), all.indexOf(box)].sort((a, b) => a - b);
  if (from < 0) return;
  for (const other of all.slice(from, to + 1)) other.checked = box.checked;
}

document.addEventListener("click", (event) => {
  const box = event.target;
  if (!(box instanceof HTMLInputElement) || !box.form) return;
  if (box.matches("[data-select]")) {
    if (event.shiftKey && last?.isConnected && last.form === box.form) extend(box.form, box);
    last = box;
  } else if (box.matches("[data-select-all]")) {
    for (const other of boxes(box.form)) other.checked = box.checked;
  } else return;
  update(box.form);
});

function updateAll() {
  for (const form of document.querySelectorAll("form[data-selection]")) update(form);
}

updateAll();
document.addEventListener("faktory:refreshed", updateAll);
addEventListener("pageshow", updateAll); // a browser fills boxes in again when it comes back to a page
