"""What must hold on each page for people who cannot see it well, or use no mouse: a script that is run in the page.

It returns a sentence for each thing that is wrong; an empty list is what a page should have.
"""

ACCESSIBILITY = """
const wrong = [];
const plain = (text) => String(text ?? '').replace(/\\s+/g, ' ').trim();
const all = (css, within) => [...(within ?? document).querySelectorAll(css)];
const there = (e) => e.checkVisibility({visibilityProperty: true});
const named = (ids) => plain(ids.split(/\\s+/).map((id) => document.getElementById(id)?.textContent).join(' '));
const show = (e) => e.outerHTML.replace(/\\s+/g, ' ').slice(0, 160);
const say = (what, e) => wrong.push(e ? `${what}: ${show(e)}` : what);
const nameOf = (e) => plain(e.getAttribute('aria-label')) || named(e.getAttribute('aria-labelledby') ?? '')
  || plain(e.textContent) || (e.tagName === 'INPUT' ? plain(e.value) : '') || plain(all('img[alt], svg[aria-label]', e)
  .map((i) => i.alt ?? i.getAttribute('aria-label')).join(' ')) || plain(e.title);

// The document
if (!document.documentElement.lang) say('the document has no language');
if (!document.documentElement.dir) say('the document has no direction');
if (!plain(document.title)) say('the document has no title');
if (!document.querySelector('meta[name=viewport]')) say('the document says nothing of the width of phones');
for (const css of ['main', 'h1']) {
  const found = all(css).filter(there);
  if (found.length !== 1) say(`${found.length} elements ${css}`);
}
let level = 0;
for (const heading of all('h1, h2, h3, h4, h5, h6').filter(there)) {
  const own = Number(heading.tagName[1]);
  if (own > level + 1) say(`a heading of level ${own} after one of level ${level}`, heading);
  if (!plain(heading.textContent)) say('an empty heading', heading);
  level = own;
}

// Names
for (const field of all('input:not([type=hidden]):not([type=submit]):not([type=button]), select, textarea')) {
  if (there(field) && !plain([...field.labels].map((l) => l.textContent).join(' ')) && !field.ariaLabel
      && !named(field.getAttribute('aria-labelledby') ?? '')) say('a field without a label', field);
}
for (const e of all('button, a[href], summary, input[type=submit], [role=button]')) {
  if (there(e) && !nameOf(e)) say('no name', e);
}
for (const e of all('img:not([alt])')) say('a picture without alt', e);
for (const e of all('svg').filter(there)) {
  const hidden = e.closest('[aria-hidden=true]');
  if (!hidden && !(e.getAttribute('role') && (nameOf(e) || e.querySelector('title')))) {
    say('a drawing that is neither named nor hidden', e);
  }
}
for (const e of all('progress, meter, [role=progressbar]').filter(there)) {
  if (!nameOf(e) && !(e.labels?.length)) say('a progress bar without a name', e);
}
for (const e of all('dialog[open], [role=dialog]')) {
  if (!e.ariaLabel && !named(e.getAttribute('aria-labelledby') ?? '')) say('a dialog without a name', e);
}

// Tables
for (const table of all('table').filter(there)) {
  if (!table.caption && !table.ariaLabel && !named(table.getAttribute('aria-labelledby') ?? '')) {
    say('a table without a caption', table);
  }
  if (!table.querySelector('th')) say('a table without headers', table);
  for (const th of all('th', table)) {
    if (!nameOf(th) && !th.querySelector('input')) say('an empty header', th);
    if (!th.scope) say('a header without a scope', th);
  }
}

// References and order
const ids = all('[id]').map((e) => e.id);
for (const id of new Set(ids.filter((id, i) => ids.indexOf(id) !== i))) say(`the id ${id} stands there twice`);
for (const attribute of ['aria-labelledby', 'aria-describedby', 'aria-controls', 'for', 'form', 'list']) {
  for (const e of all(`[${attribute}]`)) {
    for (const id of e.getAttribute(attribute).split(/\\s+/)) {
      if (id && !document.getElementById(id)) say(`${attribute} names ${id}, which is not there`, e);
    }
  }
}
for (const e of all('[tabindex]')) if (e.tabIndex > 0) say('a place in the tab order of its own', e);
for (const e of all('a a, a button, button a, button button, label label, form form')) say('one control in another', e);
for (const e of all('[style]')) say('a style of its own', e);
for (const e of all('[aria-hidden=true] :is(a[href], button, input, select)').filter(there)) say('hidden, but reachable', e);
for (const list of all('ul, ol')) {
  for (const e of list.children) if (!e.matches('li, template, script')) say('no item of its list', e);
}

// Contrast and size
const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
const cache = new Map();
const rgba = (color) => {
  if (!cache.has(color)) {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    cache.set(color, [...canvas.getImageData(0, 0, 1, 1).data]);
  }
  return cache.get(color);
};
const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] / 255 + below[i] * (1 - top[3] / 255));
const ground = (e) => {
  if (!e) return [255, 255, 255];
  const own = rgba(getComputedStyle(e).backgroundColor);
  return own[3] === 255 ? own.slice(0, 3) : over(own, ground(e.parentElement));
};
const light = (c) => c.map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
const written = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && plain(n.data));
const faint = new Set();
for (const e of all('body *')) {
  if (!written(e) || !there(e) || e.closest('svg, option, [disabled], .unseen')) continue;
  const style = getComputedStyle(e), below = ground(e);
  const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  const found = ratio(over(rgba(style.color), below), below);
  const told = `contrast ${found.toFixed(2)}: .${e.className || e.tagName} ${style.color}`;
  if (found < (large ? 3 : 4.5) && !faint.has(told)) { faint.add(told); say(told, e); }
}
for (const e of all('button, select, input:not([type=hidden])').filter(there)) {
  if (e.closest('.unseen')) continue;
  const parts = [e, ...e.labels ?? [], ...e.type === 'checkbox' ? [e.closest('td, th') ?? e] : []];
  const boxes = parts.map((part) => part.getBoundingClientRect());
  const [width, height] = [Math.max(...boxes.map((b) => b.width)), Math.max(...boxes.map((b) => b.height))];
  if ((width < 24 || height < 24) && width > 1) say(`only ${width.toFixed(0)} by ${height.toFixed(0)} pixels`, e);
}
return wrong;
"""

# What can be reached by the keyboard, apart from what a radio group or a closed part of the page hides.
REACHABLE = """
const css = 'a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]';
return [...document.querySelectorAll(css)].filter((e) => !e.disabled && e.tabIndex >= 0
  && e.checkVisibility({visibilityProperty: true}) && !e.closest('[inert]'));
"""

# Where the focus is, and whether that can be seen. The parts of a field for dates are the browser's own, and it marks them.
FOCUS = """
const e = document.activeElement;
const style = getComputedStyle(e), label = e.closest('label') ? getComputedStyle(e.closest('label')) : style;
const seen = e.matches('[type^=date]') || [style, label].some((s) => (s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0)
  || s.boxShadow !== 'none');
return [e, seen, e.outerHTML.slice(0, 160)];
"""
