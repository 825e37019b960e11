"""Cleans what comes from outside, where it comes in: headers, alt texts, texts of errors.

A text that has passed here can be written as UTF-8, is one line, and has a bounded length.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import webencodings

LONGEST_HEADER = 8192
"""Characters of a header. Only an address may be as long as that."""

LONGEST_VALIDATOR = 512
LONGEST_SAID = 300
"""Characters of what a server says in an error, or aiohttp says about it."""

LONGEST_ALT = 1000
"""Characters of an alt text. A longer one is ballast in the tasks that carry it."""

_NOT_TEXT = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]+")
_NOT_ASCII = re.compile(rb"[^\x21-\x7e]")


def one_line(text: str, most: int) -> str:
    """The text without control and half characters, with single spaces, cut."""
    if not (text.isascii() and text.isprintable()):
        text = _NOT_TEXT.sub(" ", text[: most * 4])
    return " ".join(text[: most * 4].split())[:most]


def header(headers: Mapping[str, str], name: str) -> str:
    """A header; empty if it is not there."""
    text = headers.get(name)
    return one_line(text, LONGEST_HEADER) if text else ""


def address_in(headers: Mapping[str, str], name: str) -> str:
    """A header that holds an address. Bytes that are no UTF-8 become escapes."""
    text = headers.get(name) or ""
    if text.isascii():
        return text
    sent = text.encode("utf-8", "surrogateescape")
    try:
        return sent.decode()
    except UnicodeDecodeError:
        return _NOT_ASCII.sub(lambda byte: b"%%%02X" % byte[0][0], sent).decode()


def validator(headers: Mapping[str, str], name: str) -> str:
    """An ETag or a date, which is sent back letter by letter. Empty if that can't be done."""
    text = headers.get(name) or ""
    fits = len(text) <= LONGEST_VALIDATOR and text.isascii() and text.isprintable()
    return text if fits else ""


def validators(headers: Mapping[str, str]) -> dict[str, str]:
    """What a later run asks by whether an address has changed (RFC 9110, 8.8)."""
    found = {"etag": validator(headers, "ETag"), "modified": validator(headers, "Last-Modified")}
    return {name: text for name, text in found.items() if text}


def decoded(body: bytes, charset: str | None) -> str | None:
    """A body as text. None if browsers don't know its charset (WHATWG Encoding)."""
    encoding = webencodings.lookup(charset) if charset and charset.isascii() else None
    if encoding is None:
        return None
    return str(encoding.codec_info.decode(body, "replace")[0])
