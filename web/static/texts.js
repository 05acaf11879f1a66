// The sentences of scripts, in the language of the page: they stand in a <template> that the server filled.

const texts = new Map();
for (const item of document.getElementById("texts")?.content.children ?? []) {
  texts.set(item.dataset.text, item.textContent);
}

// The sentence of that name, with `value` in the place of %s.
export function text(name, value = "") {
  return (texts.get(name) ?? name).replace("%s", () => value);
}

// For Intl: the language, the dates and the digits that the server writes, too.
export const locale = document.documentElement.dataset.intl || "en";

const numbers = new Intl.NumberFormat(locale, { maximumFractionDigits: 1 });

export function number(value) {
  return numbers.format(value);
}
