// The choices in the foot take effect at once; the button is for browsers without scripts.
// The theme and the zone of times are shown before the server has kept them in a cookie.

const form = document.getElementById("preferences");
const root = document.documentElement;

async function keep() {
  const body = new URLSearchParams(new FormData(form));
  try {
    const answer = await fetch(form.getAttribute("action"), { method: "POST", body, redirect: "manual" });
    return answer.type === "opaqueredirect" || answer.ok;
  } catch {
    return false;
  }
}

form?.addEventListener("change", async (event) => {
  const { name, value } = event.target;
  if (name === "language") {
    form.requestSubmit();
  } else if (name === "theme" || name === "zone") {
    root.dataset[name] = value;
    document.dispatchEvent(new CustomEvent("faktory:preferences"));
    if (!(await keep())) form.requestSubmit();
  }
});

for (const element of document.querySelectorAll("[data-script]")) element.hidden = false;
if (form) form.querySelector("button[type=submit]").classList.add("unseen");
