// What every page has. Pages load further modules themselves.

import "./theme.js";
import "./times.js";
import "./selection.js";
import "./confirm.js";
import "./keys.js";
import "./live.js";
import "./graph.js";

// A notice is shown once: its address must not be reloaded or kept.
const here = new URL(location.href);
if (here.searchParams.has("notice")) {
  here.searchParams.delete("notice");
  history.replaceState(history.state, "", here);
}

// The tab of this page, where the tabs are wider than the screen.
document.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

// On a phone a filter that looks for nothing is folded.
for (const filter of document.querySelectorAll("details[data-filter]:not([data-active])")) {
  filter.open = !matchMedia("(max-width: 40rem)").matches;
}
