// Makes a part of the page like a newer one and leaves alone what somebody is doing there: elements stay the same ones,
// so checked boxes, focus, scrolling, open details and selected text stay, too.

const KEPT_ATTRIBUTES = new Set(["open", "data-here", "data-gone", "data-any"]);
const SCRIPTED = "[data-select-all], [data-needs-selection], [data-script]"; // whose attributes other scripts set

function keyOf(node) {
  // Not node.id: the id of a form that has a field of that name is the field.
  return node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") ?? node.getAttribute("id") : null;
}

function alike(node, fresh) {
  return node.nodeType === fresh.nodeType && node.nodeName === fresh.nodeName && keyOf(node) === keyOf(fresh);
}

function isKept(node) {
  return node.nodeType === Node.ELEMENT_NODE && node.hasAttribute("data-keep");
}

// A row that is checked stays although it has left the list: what was chosen must not change by itself.
function isChosen(node) {
  return node.nodeType === Node.ELEMENT_NODE && node.matches("[data-key]") && node.querySelector("[data-select]:checked") !== null;
}

function morphAttributes(node, fresh) {
  for (const { name, value } of fresh.attributes) {
    if (!KEPT_ATTRIBUTES.has(name) && node.getAttribute(name) !== value) node.setAttribute(name, value);
  }
  for (const { name } of [...node.attributes]) {
    if (!KEPT_ATTRIBUTES.has(name) && !fresh.hasAttribute(name)) node.removeAttribute(name);
  }
}

function morphNode(node, fresh) {
  if (node.nodeType !== Node.ELEMENT_NODE) {
    if (node.data !== fresh.data) node.data = fresh.data;
    return;
  }
  if (isKept(node)) return;
  node.removeAttribute("data-gone");
  // What the clock makes of a time is not news: times.js writes it.
  if (node.nodeName === "TIME" && node.getAttribute("datetime") === fresh.getAttribute("datetime")) return;
  if (!node.matches(SCRIPTED)) morphAttributes(node, fresh);
  morphChildren(node, fresh);
}

function remove(node) {
  if (isKept(node)) return;
  if (isChosen(node)) {
    node.setAttribute("data-gone", "");
    return;
  }
  const table = node.contains(document.activeElement) ? node.closest("[tabindex], main") : null;
  node.remove();
  table?.focus({ preventScroll: true });
}

export function morphChildren(parent, fresh) {
  const keyed = new Map();
  for (const child of parent.childNodes) {
    const key = keyOf(child);
    if (key !== null) keyed.set(key, child);
  }
  const wanted = new Set();
  for (const child of fresh.childNodes) {
    const key = keyOf(child);
    if (key !== null) wanted.add(key);
  }
  let next = parent.firstChild;
  for (const child of [...fresh.childNodes]) {
    const key = keyOf(child);
    // What will not come again goes, unless it is chosen.
    while (next && keyOf(next) !== null && !wanted.has(keyOf(next))) {
      const after = next.nextSibling;
      remove(next);
      next = after;
    }
    const known = key === null ? null : keyed.get(key);
    // White space between what was removed would make all that follows move, and lose the focus.
    while (known && next && next !== known && next.nodeType === Node.TEXT_NODE && !next.data.trim()) {
      next = next.nextSibling;
      next.previousSibling.remove();
    }
    if (known && known.nodeName === child.nodeName) {
      if (known === next) next = next.nextSibling;
      else parent.insertBefore(known, next);
      morphNode(known, child);
    } else if (next && key === null && alike(next, child)) {
      const after = next.nextSibling;
      morphNode(next, child);
      next = after;
    } else {
      parent.insertBefore(document.importNode(child, true), next);
    }
  }
  while (next) {
    const after = next.nextSibling;
    remove(next);
    next = after;
  }
}
