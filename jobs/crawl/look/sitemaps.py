"""What a sitemap names: pages, pictures, other sitemaps (sitemaps.org; XML, also packed by gzip).

The author may mean ill. So the size is bounded, and a document that declares entities is refused,
since few bytes of them can stand for very many.
"""

from __future__ import annotations

from xml.parsers import expat

from ..address import normalized
from ..fetch.unpacking import UnpackingError, layers_of, through
from .found import Found

MOST_BYTES = 4 * 1024 * 1024
"""The size of a sitemap, packed and unpacked, at most."""

MOST_ADDRESSES = 50_000
"""Of one sitemap (sitemaps.org allows no more). The addresses after these are not read."""

MOST_SITEMAPS = 50
"""How many sitemaps of a run, and of one index, are read."""

MOST_NESTED = 20
"""Elements within each other, at most. A sitemap has four."""

MOST_TAG_BYTES = 256 * 1024
"""The size of a tag or comment, at most: expat reads it in one call, and all others wait."""

_ROOTS = ("urlset", "sitemapindex")
_FEED_BYTES = 16 * 1024
"""What follows a part of gzip is copied for each part, so it must never be much."""


class NoSitemapError(Exception):
    """A sitemap can't be read. The text says why."""


class _EnoughError(Exception):
    """No more addresses are wanted."""


def named_by(body: bytes, address: str) -> tuple[Found, list[str]]:
    """The pages and pictures that a sitemap names, and the other sitemaps.

    Raises:
        NoSitemapError: the body is none, or too large unpacked, or declares entities.
    """
    reader = _Reader(address)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.begin
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.EntityDeclHandler = _refuse
    try:
        _parse(parser, _unpacked(body).lstrip())
    except _EnoughError:
        pass
    except (expat.ExpatError, UnpackingError, LookupError, ValueError) as error:
        raise NoSitemapError(f"no sitemap that can be read: {str(error)[:200]}") from None
    return reader.found, list(reader.sitemaps)


def _parse(parser: expat.XMLParserType, text: bytes) -> None:
    for at in range(0, len(text), _FEED_BYTES):
        parser.Parse(text[at : at + _FEED_BYTES], False)
        if at - parser.CurrentByteIndex > MOST_TAG_BYTES:
            raise NoSitemapError(f"no sitemap: a tag of more than {MOST_TAG_BYTES:,} bytes")
    parser.Parse(b"", True)


def _refuse(*_: object) -> None:
    raise NoSitemapError("a sitemap that declares entities")


def _unpacked(body: bytes) -> bytes:
    layers, parts, came = layers_of("gzip"), [], 0
    for at in range(0, len(body), _FEED_BYTES):
        for piece in through(layers, body[at : at + _FEED_BYTES]):
            parts.append(piece)
            came += len(piece)
            if came > MOST_BYTES:
                raise NoSitemapError(f"a sitemap of more than {MOST_BYTES:,} bytes, unpacked")
    if not all(layer.whole for layer in layers):
        raise UnpackingError("its gzip is cut short")
    return b"".join(parts)


class _Reader:
    """One document while it is read. Prefixes do not count: some sites do not declare them."""

    def __init__(self, address: str) -> None:
        self.found, self.sitemaps = Found(), dict[str, None]()
        self._address = address
        self._inside: list[str] = []
        self._text: list[str] = []
        self._count = 0

    def begin(self, name: str, _: dict[str, str]) -> None:
        if not self._inside and _plain(name) not in _ROOTS:
            raise NoSitemapError("no sitemap")
        if len(self._inside) == MOST_NESTED:
            raise NoSitemapError(f"no sitemap: more than {MOST_NESTED} elements within each other")
        self._inside.append(_plain(name))
        self._text.clear()

    def text(self, text: str) -> None:
        if self._inside[-1] == "loc":
            self._text.append(text)

    def end(self, _: str) -> None:
        name = self._inside.pop()
        if name == "loc" and self._inside:
            self._named(self._inside[-1], "".join(self._text).strip())
        self._text.clear()

    def _named(self, within: str, reference: str) -> None:
        if within not in ("url", "image", "sitemap") or not reference:
            return
        joined = normalized(reference, self._address)
        if joined is None:
            self.found.missed("image" if within == "image" else "page", reference, self._address)
        elif within == "image":
            self.found.pictures.setdefault(joined, "")
        else:
            (self.found.pages if within == "url" else self.sitemaps).setdefault(joined)
        self._count += 1
        if self._count >= MOST_ADDRESSES:
            raise _EnoughError


def _plain(name: str) -> str:
    return name.rpartition(":")[2]
