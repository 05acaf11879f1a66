// An operation on many jobs is looked at once a second while it is at work, whatever interval the page refreshes at.

import { morphChildren } from "./morph.js";

const PAUSE_MS = 1000;

async function follow() {
  const shown = document.getElementById("operation");
  if (!shown?.hasAttribute("data-at-work")) return;
  if (!document.hidden && !document.querySelector("dialog[open]")) {
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("operation");
      if (answer.ok && fresh) {
        shown.toggleAttribute("data-at-work", fresh.hasAttribute("data-at-work"));
        shown.dataset.state = fresh.dataset.state;
        morphChildren(shown, fresh);
      }
    } catch {
      // live.js says that the server does not answer
    }
  }
  setTimeout(follow, PAUSE_MS);
}

setTimeout(follow, PAUSE_MS);
