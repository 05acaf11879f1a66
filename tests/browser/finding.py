"""How things are found on a page by what a person sees or hears of them: a script that is run in the page."""

FINDING = """
const plain = (text) => (text ?? '').replace(/\\s+/g, ' ').trim();
const visible = (element) => element.checkVisibility({visibilityProperty: true});
const scope = (within) => within ?? document.querySelector('dialog[open]') ?? document;
const nameOf = (element) => plain(element.getAttribute('aria-label') || element.innerText || element.value);
const exactlyOr = (elements, name) => {
  const seen = elements.filter(visible);
  const found = seen.find((e) => nameOf(e) === name) ?? seen.find((e) => nameOf(e).startsWith(name));
  return found && !found.disabled ? found : null;
};
const some = (within, css) => [...scope(within).querySelectorAll(css)];
const BUTTONS = 'button, input[type=submit], input[type=button], [role=button]';

function seen(css, within) { return some(within ?? document, css).find(visible) ?? null; }
function button(name, within) { return exactlyOr(some(within, BUTTONS), name); }
function buttons() { return some(document.querySelector('main'), BUTTONS).filter(visible).map(nameOf); }
function link(name, within) { return exactlyOr(some(within, 'a[href], summary'), name); }
function texts(css) { return [...document.querySelectorAll(css)].filter(visible).map((e) => plain(e.innerText)); }
function row(text) {
  const rows = [...document.querySelectorAll('main tbody tr, main [data-key]')].filter(visible);
  const exact = (r) => [...r.querySelectorAll('td, th, a, code')].some((cell) => plain(cell.innerText) === text);
  return rows.find(exact) ?? rows.find((r) => plain(r.innerText).includes(text)) ?? null;
}
function field(label, within) {
  const labelled = (e, fits) => [...e.labels ?? []].some((l) => fits(plain(l.innerText)))
    || fits(plain(e.getAttribute('aria-label')));
  const fields = some(within, 'input:not([type=hidden]), select, textarea').filter(visible);
  return fields.find((e) => labelled(e, (text) => text === label))
    ?? fields.find((e) => labelled(e, (text) => text.startsWith(label))) ?? null;
}
function choose(select, text) {
  const option = [...select.options].find((o) => plain(o.text) === text || o.value === text);
  if (!option) throw new Error('no option ' + text);
  select.value = option.value;
  select.dispatchEvent(new Event('input', {bubbles: true}));
  select.dispatchEvent(new Event('change', {bubbles: true}));
}
function asking(scripts) {
  return scripts ? document.querySelector('dialog[open]') !== null
    : document.querySelector('form input[name=confirmed]') !== null;
}
"""
