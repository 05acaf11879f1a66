"""What may stand where a value is expected: texts, numbers, JSON and headers that somebody has to be ready for."""

from __future__ import annotations

from typing import Any

INJECTED = "X-Fuzz-Injected"
SMUGGLED = f"\r\n{INJECTED}: yes\r\n\r\n<fuzz>"
MARK = "<fuzz a='x'>\"'><fuzz onfuzz=\"x\"> onfuzz=x"  # shown anywhere, it must come back as text

# Texts of an address or a form. Those of bytes are no UTF-8.
TEXTS: tuple[str | bytes, ...] = (
    "",
    " ",
    "0",
    "-0",
    "-1",
    "1",
    "1.5",
    "1e400",
    "1_0",
    "+1",
    "0x10",
    "9" * 19,
    "9" * 20,
    "9" * 5000,
    str(2**63),
    str(2**64),
    "NaN",
    "-Infinity",
    "\uff11\uff12",
    "\u0663",
    "\u00b2",
    "true",
    "null",
    "[]",
    '{"a":1}',
    "*" * 250,
    "?*" * 120,
    "[" * 250,
    "a" * 257,
    "a" * 1025,
    "a" * 7000,
    "\0",
    "a\0b",
    "\r\n",
    SMUGGLED,
    "\x1b[2J",
    "\x7f",
    "\u202eabc",
    "\U0010ffff",
    "\ufeff",
    "e\u0301",
    MARK,
    "javascript:fuzz()",
    "//evil.example/",
    "\\\\evil.example\\",
    "/\\evil.example",
    "http://evil.example/",
    "../../../etc/passwd",
    "/etc/passwd",
    "%s%n%x",
    "%(field)s",
    "{0.__class__}",
    "{{7*7}}",
    "${7*7}",
    "' OR 1=1 --",
    "1790000000.5_3",
    "1e999_1",
    "nan_x",
    "_",
    "1_",
    "-1e308_\0",
    "0001-01-01T00:00:00Z",
    "0000-00-00T00:00:00Z",
    "9999-12-31T23:59:60+23:59",
    "2026-11-21T18:17:40.999999999999Z",
    "999999w",
    b"\xff",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xe2\x28",
)

# As they stand in an address, with nothing encoded.
ESCAPES = (
    b"%",
    b"%2",
    b"%zz",
    b"%u0041",
    b"%00",
    b"%0d%0aX-Fuzz-Injected:%20yes",
    b"%252e%252e%252f",
    b"%2e%2e%2f%2e%2e%2f",
    b"..%2f..%5c",
    b"%c0%ae%c0%ae/",
    b"%F0%9F%98%80",
    b"%EF%BC%8F",
    b";x=y",
    b"#fragment",
    b"?",
    b"&&&=&=&",
    b"//",
    b"/./",
    b"/../",
    b"+%2B+",
    b"\x80\xff",
    b"\x7f",
    b"<fuzz>",
    b"'\"",
)

DEEP = 100_000

# Texts of JSON that stand for one value.
JSON_TEXTS: tuple[bytes, ...] = (
    b"null",
    b"true",
    b"0",
    b"-0",
    b"-1",
    b"1.5",
    b"1e400",
    b"-1e400",
    b"9" * 5000,
    b"0." + b"1" * 5000,
    b"1" + b"0" * 400,
    b"9223372036854775807",
    b"9223372036854775808",
    b"NaN",
    b"-Infinity",
    b"01",
    b"+1",
    b'""',
    b'"\\u0000"',
    b'"\\ud800"',
    b'"\\udc00\\ud800"',
    b'"\xff"',
    b'"\xed\xa0\x80"',
    b'"a\nb"',
    b'"\\r\\nX-Fuzz-Injected: yes"',
    b'"' + b"x" * 100_000 + b'"',
    b'"<fuzz onfuzz=1>\\"\'>"',
    b"[]",
    b"{}",
    b"[null]",
    b'["",1,{}]',
    b"[" + b'"x",' * 2000 + b'"x"]',
    b"[" * DEEP + b"]" * DEEP,
    b'{"a":' * 1000 + b"1" + b"}" * 1000,
    b"[",
    b"{",
    b'{"a":1,}',
    b"//comment\n1",
    b"'x'",
    b"\xef\xbb\xbf1",
)

# What may stand in a header; no line break can, it would be a header of its own.
HEADER_VALUES: tuple[bytes, ...] = (
    b"",
    b" ",
    b",",
    b";",
    b"=",
    b";q=",
    b'"',
    b"\\",
    b"\xff\xfe",
    b"\t",
    b"a\tb",
    b"x" * 8000,
    b"a," * 4000,
    b"-1",
    b"9" * 4000,
    b"1e9",
    b"%00%0d%0a",
    b"<fuzz onfuzz=1>\"'>",
    b"javascript:fuzz()",
    b"null",
    b"http://evil.example",
    b"//evil.example",
    b"/../..",
    b"[::1",
    b"[::1]:99999",
    b"localhost:-1",
    b"a@b",
    b"*/*",
    b"application/json",
    b"text/html;charset=\xff",
    b"application/x-www-form-urlencoded; charset=utf-7",
    b"Basic",
    b"Basic ",
    b"Basic ====",
    b"Basic /w==",
    b"Basic " + b"QUFB" * 1900,
    b"Bearer x",
    b"de-DE-x-" + b"a" * 200,
    b"*;q=9" + b"9" * 400,
    b"faktory_token=" + b"A" * 32,
    b"faktory_token=\xff; faktory_locale=../../x; faktory_theme=<fuzz>",
    b"faktory_locale=ar; faktory_zone=local",
    b"W/" + b'"x",' * 500,
    b"bytes=0-,-1,9-1",
    b"gzip, chunked",
    b"\x0bchunked",
    b"identity",
)

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "X" * 60)


def text_bytes(text: str | bytes) -> bytes:
    """A text as it is sent."""
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")


def members(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all members of a JSON value, its own first."""
    found = [path]
    if isinstance(value, dict):
        for name, each in value.items():
            found += members(each, (*path, name))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            found += members(each, (*path, index))
    return found
