"""Whether an SVG may be opened as a file: no script, no code in attributes, nothing from elsewhere.

What is not known to be harmless is not: it is kept under a name that browsers show as text.
"""

from __future__ import annotations

import re
from xml.parsers import expat

MOST_BYTES = 1024 * 1024
"""Larger ones are not looked through, and so not known to be harmless."""

_SVG = "http://www.w3.org/2000/svg"
_INERT = (
    "a altglyph animate animatemotion animatetransform circle clippath color-profile defs desc"
    " ellipse feblend fecolormatrix fecomponenttransfer fecomposite feconvolvematrix"
    " fediffuselighting fedisplacementmap fedistantlight fedropshadow feflood fefunca fefuncb"
    " fefuncg fefuncr fegaussianblur feimage femerge femergenode femorphology feoffset"
    " fepointlight fespecularlighting fespotlight fetile feturbulence filter font font-face"
    " font-face-name glyph g hkern image line lineargradient marker mask metadata missing-glyph"
    " mpath path pattern polygon polyline radialgradient rect set stop style svg switch symbol"
    " text textpath title tref tspan use view vkern"
)
_ELEMENTS = frozenset(_INERT.split())
_LIVE = ("http://www.w3.org/1999/xhtml", "http://www.w3.org/1998/Math/MathML")
_EVENTS = "http://www.w3.org/2001/xml-events"
_ADDRESSES = ("href", "src", "base")
_ENCODINGS = ("utf-8", "us-ascii", "ascii", "iso-8859-1")
_OWN = re.compile(r"\s*(#|data:image/(png|jpeg|gif|webp)[;,]|$)", re.I)
_STYLE_ELSEWHERE = re.compile(
    r"\\|@import|image-set\(|\bsrc\(|url\("
    r"(?!\s*['\"]?\s*(?:#|data:image/(?:png|jpeg|gif|webp)[;,]))",
    re.I,
)


class _ActiveError(Exception):
    """It holds something that may run, or comes from elsewhere."""


def is_inert(body: bytes) -> bool:
    """Whether nothing in an SVG can run, or ask for anything, when its file is opened."""
    if len(body) > MOST_BYTES:
        return False
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = _element
    parser.CharacterDataHandler = _text
    parser.ProcessingInstructionHandler = _refuse  # a style sheet, which may be XSLT
    parser.EntityDeclHandler = _refuse
    parser.AttlistDeclHandler = _refuse
    parser.XmlDeclHandler = _declaration
    try:
        parser.Parse(body, True)
    except (_ActiveError, expat.ExpatError, LookupError, ValueError):
        return False
    return True


def _refuse(*_: object) -> None:
    raise _ActiveError


def _declaration(_: str, encoding: str | None, __: int) -> None:
    # Read by another encoding than a browser's, a script would look like text.
    if encoding is not None and encoding.lower() not in _ENCODINGS:
        raise _ActiveError


def _element(name: str, attributes: dict[str, str]) -> None:
    space, _, local = name.rpartition(" ")
    if space in (*_LIVE, _EVENTS) or (space in (_SVG, "") and local.lower() not in _ELEMENTS):
        raise _ActiveError
    for called, value in attributes.items():
        of, _, plain = called.rpartition(" ")
        plain = plain.lower()
        if of == _EVENTS or plain.startswith("on"):
            raise _ActiveError
        if plain in _ADDRESSES and _OWN.match(value) is None:
            raise _ActiveError
        if plain == "attributename" and not _may_change(value):
            raise _ActiveError
        _text(value)


def _may_change(attribute: str) -> bool:
    name = attribute.strip().lower().rpartition(":")[2]
    return name not in _ADDRESSES and not name.startswith("on")


def _text(text: str) -> None:
    # Each alternative has one of these. The pattern reads long paths, most of an SVG, slowly.
    if not ("(" in text or "@" in text or "\\" in text):
        return
    if _STYLE_ELSEWHERE.search(text) is not None:
        raise _ActiveError
