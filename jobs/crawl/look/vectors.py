"""Whether an SVG may be opened as a file: no script, no code in attributes, nothing from elsewhere.

The module knows what is harmless. Any other file gets a name by which browsers show it as text.
"""

from __future__ import annotations

import enum
import functools
import re
from xml.parsers import expat

MOST_BYTES = 1024 * 1024
"""Nobody looks through a larger file, so it is not known to be harmless."""

LONGEST_NAME = 1024
"""Characters of a name with its namespace. A file with a longer one is not known to be harmless:
the process remembers what it has found out about names."""

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


class _Kind(enum.Enum):
    """What a value of an attribute may do, by the attribute's name."""

    CODE = enum.auto()
    ADDRESS = enum.auto()
    NAME = enum.auto()
    TEXT = enum.auto()


class _ActiveError(Exception):
    """The file holds something that may run, or comes from elsewhere."""


def is_inert(body: bytes) -> bool:
    """Whether nothing in an SVG can run, or ask for anything, when its file is opened."""
    if len(body) > MOST_BYTES:
        return False
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = _element
    parser.CharacterDataHandler = _text
    parser.ProcessingInstructionHandler = _refuse  # it may name a style sheet, even an XSLT
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
    # A script would look like text to a reader of another encoding than the browser's.
    if encoding is not None and encoding.lower() not in _ENCODINGS:
        raise _ActiveError


def _element(name: str, attributes: dict[str, str]) -> None:
    if len(name) > LONGEST_NAME or _is_live(name):
        raise _ActiveError
    for called, value in attributes.items():
        if len(called) > LONGEST_NAME:
            raise _ActiveError
        kind = _kind_of(called)
        if kind is not _Kind.TEXT and (
            kind is _Kind.CODE
            or (kind is _Kind.ADDRESS and _OWN.match(value) is None)
            or (kind is _Kind.NAME and not _may_change(value))
        ):
            raise _ActiveError
        _text(value)


@functools.lru_cache(maxsize=256)  # an SVG has thousands of elements, with few names
def _is_live(name: str) -> bool:
    """Whether elements of that name may run something."""
    space, _, local = name.rpartition(" ")
    if space in (_SVG, ""):
        return local.lower() not in _ELEMENTS
    return space in (*_LIVE, _EVENTS)


@functools.lru_cache(maxsize=256)
def _kind_of(attribute: str) -> _Kind:
    space, _, name = attribute.rpartition(" ")
    name = name.lower()
    if space == _EVENTS or name.startswith("on"):
        return _Kind.CODE
    if name in _ADDRESSES:
        return _Kind.ADDRESS
    return _Kind.NAME if name == "attributename" else _Kind.TEXT


def _may_change(attribute: str) -> bool:
    name = attribute.strip().lower().rpartition(":")[2]
    return name not in _ADDRESSES and not name.startswith("on")


def _text(text: str) -> None:
    # Each alternative of the pattern has one of these characters. The pattern reads long paths,
    # which are most of an SVG, slowly.
    if not ("(" in text or "@" in text or "\\" in text):
        return
    if _STYLE_ELSEWHERE.search(text) is not None:
        raise _ActiveError
