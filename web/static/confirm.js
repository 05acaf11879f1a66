// Asks before a form is sent that destroys something. The server asks, too, unless it is told that it was done here.

import { make } from "./element.js";
import { text } from "./texts.js";

function ask(question, submitter) {
  const dialog = make("dialog", { "aria-labelledby": "dialog-title", role: "alertdialog" });
  const cancel = make("button", { type: "button", class: "button" }, text("cancel"));
  const sure = make("button", { type: "button", class: "button button-sure" }, submitter?.textContent.trim() || "OK");
  dialog.append(
    make("p", { id: "dialog-title", class: "dialog-title" }, question),
    make("div", { class: "dialog-actions" }, cancel, sure),
  );
  document.body.append(dialog);
  return new Promise((resolve) => {
    cancel.addEventListener("click", () => dialog.close());
    sure.addEventListener("click", () => dialog.close("sure"));
    dialog.addEventListener("close", () => {
      dialog.remove();
      submitter?.focus();
      resolve(dialog.returnValue === "sure");
    });
    dialog.showModal();
    cancel.focus();
  });
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  const question = event.submitter?.getAttribute("data-confirm") ?? form.getAttribute("data-confirm");
  if (!question || form.querySelector('[name="confirmed"]')) return;
  event.preventDefault();
  if (!(await ask(question, event.submitter))) return;
  const confirmed = make("input", { type: "hidden", name: "confirmed", value: "1" });
  form.append(confirmed);
  form.requestSubmit(event.submitter);
  confirmed.remove();
});
