"""A page as a test reads it: its links, forms, texts and tables, without a browser."""

from __future__ import annotations

from html.parser import HTMLParser

_VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())
_HIDDEN = ("script", "style", "title", "template")


class Form:
    """A form: where it is sent to, and what it sends if nobody touches it.

    ``fields`` are those of hidden and text inputs, checked boxes, text areas and chosen options; ``buttons`` are the
    (name, value, text) of its buttons, of which a browser sends the one that was clicked.
    """

    def __init__(self, attributes: dict[str, str]) -> None:
        self.attributes = attributes
        self.action = attributes.get("action", "")
        self.method = attributes.get("method", "get").lower()
        self.id = attributes.get("id", "")
        self.fields: list[tuple[str, str]] = []
        self.buttons: list[tuple[str, str, str]] = []
        self.inputs: dict[str, list[dict[str, str]]] = {}  # by name, with all attributes

    def value(self, name: str) -> str | None:
        """The first value that is sent for a name; None if none is."""
        return next((value for field, value in self.fields if field == name), None)


class Document(HTMLParser):
    """What is on a page. Hidden inputs and scripts are no text; entities are resolved.

    ``elements`` has (name, attributes) of every element in order, ``rows`` the texts of the cells of each table row.
    """

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.source = source
        self.title = ""
        self.texts: list[str] = []
        self.links: list[str] = []
        self.assets: list[str] = []
        self.forms: list[Form] = []
        self.headings: list[str] = []
        self.rows: list[list[str]] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.unclosed: list[str] = []  # at the end: what was opened and not closed, or closed and not open
        self._open: list[str] = []
        self._outside: dict[str, Form] = {}  # forms by id, for inputs that name theirs
        self._form: Form | None = None
        self._button: tuple[Form, str, str, list[str]] | None = None
        self._area: tuple[Form | None, str, list[str]] | None = None
        self._select: tuple[Form | None, str] | None = None
        self.feed(source)
        self.close()
        self.unclosed += self._open

    @property
    def text(self) -> str:
        """All that can be read, with single spaces."""
        return " ".join(" ".join(self.texts).split())

    def form(self, action: str) -> Form:
        """The one form that is sent to an address."""
        found = [form for form in self.forms if form.action == action]
        assert len(found) == 1, f"{len(found)} forms for {action}, there are {[form.action for form in self.forms]}"
        return found[0]

    def all(self, name: str, **attributes: str) -> list[dict[str, str]]:
        """The attributes of all elements of a name that have these attributes; ``class_`` is for one class."""
        wanted = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
        return [
            found
            for element, found in self.elements
            if element == name
            and all(
                value in found.get(key, "").split() if key == "class" else found.get(key) == value
                for key, value in wanted.items()
            )
        ]

    # -- what the parser calls -------------------------------------------------------------------------------------

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes))
        if tag not in _VOID:
            self._open.append(tag)
        if tag == "a" and "href" in attributes:
            self.links.append(attributes["href"])
        elif tag in ("script", "img") and "src" in attributes:
            self.assets.append(attributes["src"])
        elif tag == "link":
            self.assets.append(attributes.get("href", ""))
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
        elif tag in ("h1", "h2", "h3"):
            self.headings.append("")
        else:
            self._begin_control(tag, attributes)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def _begin_control(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "form":
            self._form = Form(attributes)
            self.forms.append(self._form)
            self._outside[self._form.id] = self._form
            return
        form = self._outside.get(attributes["form"]) if "form" in attributes else self._form
        name = attributes.get("name", "")
        if tag == "input" and form is not None and name:
            _add_input(form, name, attributes)
        elif tag == "button" and form is not None and attributes.get("type", "submit") == "submit":
            self._button = (form, name, attributes.get("value", ""), [])
        elif tag == "textarea":
            self._area = (form, name, [])
        elif tag == "select":
            self._select = (form, name)
        elif tag == "option" and self._select is not None and "selected" in attributes:
            chosen, name = self._select
            if chosen is not None:
                chosen.fields.append((name, attributes.get("value", "")))

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open and self._open[-1] == tag:
            self._open.pop()
        elif tag not in _VOID:
            self.unclosed.append(f"/{tag}")
        if tag == "form":
            self._form = None
        elif tag == "button" and self._button is not None:
            form, name, value, texts = self._button
            form.buttons.append((name, value, " ".join("".join(texts).split())))
            self._button = None
        elif tag == "textarea" and self._area is not None:
            area_form, name, texts = self._area
            if area_form is not None:
                area_form.fields.append((name, "".join(texts).removeprefix("\n")))
            self._area = None
        elif tag == "select":
            self._select = None

    def handle_data(self, data: str) -> None:
        if self._area is not None:
            self._area[2].append(data)
        if self._button is not None:
            self._button[3].append(data)
        inner = self._open[-1] if self._open else ""
        if inner == "title":
            self.title += data
        elif inner not in _HIDDEN and data.strip():
            self.texts.append(data.strip())
            if any(name in ("td", "th") for name in self._open) and self.rows and self.rows[-1]:
                self.rows[-1][-1] = f"{self.rows[-1][-1]} {data.strip()}".strip()
            if any(name in ("h1", "h2", "h3") for name in self._open) and self.headings:
                self.headings[-1] = f"{self.headings[-1]} {data.strip()}".strip()


def _add_input(form: Form, name: str, attributes: dict[str, str]) -> None:
    form.inputs.setdefault(name, []).append(attributes)
    kind = attributes.get("type", "text")
    if kind == "submit":
        form.buttons.append((name, attributes.get("value", ""), attributes.get("value", "")))
    elif kind not in ("checkbox", "radio"):
        form.fields.append((name, attributes.get("value", "")))
    elif "checked" in attributes:
        form.fields.append((name, attributes.get("value", "on")))
