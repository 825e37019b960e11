"""What a page may cost the HTML parser: bounds on its bytes, which are checked before it is parsed.

The parser (Lexbor) is linear for the pages that people write, and quadratic for some others. It
compares each attribute of a tag with those before it, repeats what is not closed, and searches all
open elements at a tag such as <div>.
"""

from __future__ import annotations

import re

from ..fetch.client import TooLargeError

MOST_TAGS = 100_000
"""A page of more takes hundreds of MiB, and nobody reads one."""

MOST_ELEMENTS = 60_000
"""No page is nested deeper than it has tags that open an element. Half of the tags of a usual page
do. 100,000 elements within each other take the parser 12 s, 60,000 a third of that, and half of it
where 40,000 tags follow that close nothing."""

MOST_ATTRIBUTES = 4_000
"""Different attributes of one tag, which take the parser 25 ms."""

UNCHECKED_BYTES = 256 * 1024
"""Nobody counts the attributes of a shorter page, so the pages that people write cost nothing here.
At worst the parser takes 7 s for such a page, in a thread, without the GIL."""

_MOST_PASSES = 16
"""How often the bytes of a page are looked at, at most, whatever its tags look like."""

_FEW_TAGS = 1000
_FORMATTING = re.compile(
    rb"<(?=/?[bcefinstuBCEFINSTU])"
    rb"(/?)((?i:b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u))(?=[\s/>\0])"
)

_PLAIN = rb"""[a-zA-Z][\w:-]{0,40}+(?:\s++[\w:-]{1,60}+(?:="[^">]{0,400}+")?+){0,8}+\s*+/?>"""
_UNUSUAL = re.compile(rb"<(?=[a-zA-Z])(?:(?=(?i:html|body))|(?!" + _PLAIN + rb"))")
"""A `<` that may begin a tag. A tag with a few attributes in double quotes is left out."""

_ATTRIBUTE = (
    rb"""[\s/]*+([^\s/>][^\s/>=]*+)(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s>"'][^\s>]*+)?+)?+"""
)
_ATTRIBUTES = re.compile(rb"(?:" + _ATTRIBUTE + rb")*+")
_NAMES = re.compile(_ATTRIBUTE)
"""As a browser reads a tag (HTML Living Standard, 13.2.5.32 to 13.2.5.39)."""


def bounded(body: bytes) -> bytes:
    """The page as it may be parsed.

    Raises:
        TooLargeError: it has more than `MOST_TAGS` tags or `MOST_ELEMENTS` elements, or a tag of
            more than `MOST_ATTRIBUTES`.
    """
    tags = body.count(b"<")
    if tags > MOST_TAGS:
        raise TooLargeError(f"a page of more than {MOST_TAGS:,} tags")
    if len(body) > UNCHECKED_BYTES:
        _check_attributes(body)
    if tags > MOST_ELEMENTS and tags - body.count(b"</") - body.count(b"<!") > MOST_ELEMENTS:
        raise TooLargeError(f"a page of more than {MOST_ELEMENTS:,} elements")
    if tags > _FEW_TAGS:
        # The parser repeats an open <b> in each block that follows: N tags become N² elements.
        body = _FORMATTING.sub(rb"<\1x-\2", body)
    return body


def _check_attributes(body: bytes) -> None:
    """Look at each place where a tag may begin, in scripts and comments, too."""
    left = len(body) * _MOST_PASSES
    of_root = set[bytes]()  # the parser adds the attributes of all <html> and <body> to the first
    for begin in _UNUSUAL.finditer(body):
        start = begin.end()
        found = _ATTRIBUTES.match(body, start)
        end = found.end() if found is not None else start
        left -= end - start
        if left < 0:
            raise TooLargeError("a page whose tags do not end")
        names = of_root if body[start : start + 4].lower() in (b"html", b"body") else set[bytes]()
        if end - start > MOST_ATTRIBUTES * 2 or names is of_root:
            names.update(one[1].lower() for one in _NAMES.finditer(body, start, end))
        if len(names) > MOST_ATTRIBUTES:
            raise TooLargeError(f"a tag of more than {MOST_ATTRIBUTES:,} attributes")
