// A search over more jobs than one request looks at goes on by itself, until there is a page full of what it finds. The
// server says where to go on; without this there is a link for it.

let stopped = false;

function region() {
  return document.querySelector("[data-search]");
}

function rows() {
  return document.querySelectorAll("#jobs tbody tr").length;
}

function showStop() {
  const stop = region()?.querySelector("[data-search-stop]");
  if (stop) stop.hidden = false;
}

function take(fresh) {
  const newer = fresh.querySelector("[data-search]");
  if (!newer) return false;
  const known = new Set([...document.querySelectorAll("#jobs tbody tr")].map((row) => row.dataset.key));
  const body = document.querySelector("#jobs tbody");
  for (const row of fresh.querySelectorAll("#jobs tbody tr")) {
    if (!known.has(row.dataset.key)) body.append(document.importNode(row, true));
  }
  region().replaceWith(document.importNode(newer, true));
  document.dispatchEvent(new CustomEvent("faktory:refreshed", { detail: { fresh, changed: 1 } }));
  return true;
}

async function goOn() {
  const wanted = Number(region()?.dataset.rows ?? 0);
  let next = region()?.dataset.next;
  while (next && !stopped && rows() < wanted) {
    showStop();
    let answer;
    try {
      answer = await fetch(next, { cache: "no-store" });
    } catch {
      return; // live.js says that the server does not answer; the link is still there
    }
    if (!answer.ok || stopped) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (stopped || !take(fresh)) return;
    next = region().dataset.next;
  }
}

document.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? event.target.closest("[data-search-stop]") : null;
  if (!button) return;
  stopped = true;
  button.hidden = true;
});

goOn();
