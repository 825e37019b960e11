"""What a page refers to: pages, style sheets, pictures (HTML by selectolax, its Lexbor engine)."""

from __future__ import annotations

from selectolax.lexbor import LexborHTMLParser, LexborNode

from ..address import joiner, normalized
from ..fetch.outside import LONGEST_ALT, decoded, one_line
from .attributes import candidates, refreshed
from .found import Found
from .markup import bounded
from .styles import pictures_of_style, references_of_sheet

_WANTED = (
    "base[href], a[href], area[href], iframe[src], frame[src], img, source[srcset],"
    " source[data-srcset], source[data-src], link[href],"
    " meta[content], input[src], video[poster], image, body[background], table[background],"
    " td[background], style, [style], object[data], embed[src], [data-bg], [data-background],"
    " [data-background-image]"
)
_LAZY = ("data-src", "data-original", "data-lazy-src", "data-lazy")
_BACKGROUNDS = ("data-bg", "data-background", "data-background-image")
_SETS = ("srcset", "data-srcset", "data-lazy-srcset")
SOON_S = 10.0
"""A page that leads elsewhere so soon is a redirect. Any other is a page with a link."""

FOUND_CHARACTERS = 16 * 1024 * 1024
"""The most characters that the addresses of a page have together: `base` makes short ones long."""

STYLE_CHARACTERS = 512 * 1024
"""The most characters of style in a page that are looked through: that takes time and memory."""

_ICONS = {"icon", "apple-touch-icon", "apple-touch-icon-precomposed", "image_src", "mask-icon"}
_METAS = {"og:image", "og:image:url", "og:image:secure_url", "twitter:image", "twitter:image:src"}

_Attributes = dict[str, str | None]


def links_of(body: bytes, charset: str | None, address: str) -> Found:
    """All that a page refers to. charset: of the answer's header; it outranks the page's own.

    Raises:
        TooLargeError: it has too many tags, or attributes of a tag (`markup`).
    """
    charset = charset or _hiding_charset(body)
    sniffed = charset is None
    if charset is not None and charset.lower() not in ("utf-8", "utf8"):
        text = decoded(body, charset)
        body, sniffed = (body, True) if text is None else (text.encode("utf-8", "replace"), False)
    tree = LexborHTMLParser(bounded(body), encoding=sniffed)
    return _Page(tree, address).found


def _hiding_charset(body: bytes) -> str | None:
    """A charset that a page names and in which the bytes of `<` or `>` may be something else.

    The parser reads any other charset by itself, after the bounds of the page were checked.
    """
    for mark, charset in _MARKS.items():
        if body.startswith(mark):
            return charset
    return "iso-2022-jp" if b"2022" in body[:_HEAD_BYTES] else None


_MARKS = {b"\xff\xfe": "utf-16le", b"\xfe\xff": "utf-16be"}
_HEAD_BYTES = 1024
"""How far a parser looks for the charset that a page names (HTML Living Standard, 13.2.3.2)."""


def found_in_sheet(body: bytes, charset: str | None, address: str) -> Found:
    """All that a style sheet refers to."""
    text = decoded(body, charset)
    if text is None:
        text = body.decode("utf-8", "replace")
    pictures, sheets = references_of_sheet(text)
    found = Found()
    for reference in pictures:
        if (joined := normalized(reference, address)) is not None:
            found.pictures.setdefault(joined, "")
        else:
            found.missed("image", reference, address)
    for reference in sheets:
        if (joined := normalized(reference, address)) is not None:
            found.sheets.setdefault(joined)
        else:
            found.missed("css", reference, address)
    return found


class _Page:
    """One page while it is read. This code runs for every link of a crawl."""

    def __init__(self, tree: LexborHTMLParser, address: str) -> None:
        self.found = Found()
        self._style_left = STYLE_CHARACTERS
        self._characters_left = FOUND_CHARACTERS
        said = [(node.tag or "", node.attributes) for node in tree.css("base[href], meta[name]")]
        self._base = _base_of(said, address)
        self._join = joiner(self._base)
        self._follow = not _says_nofollow(said)
        for node in tree.css(_WANTED):
            self._look(node.tag or "", node.attributes, node)

    def _look(self, tag: str, of: _Attributes, node: LexborNode) -> None:
        match tag:
            case "a" | "area":
                if "rel" not in of or "nofollow" not in (of["rel"] or "").lower().split():
                    self._page(of.get("href"))
            case "img" | "source" | "input":
                self._picture_of(node, of)
            case "link":
                self._link(of)
            case "meta":
                if (of.get("http-equiv") or "").strip().lower() == "refresh":
                    self._refresh(of.get("content") or "", node)
                if (of.get("property") or of.get("name") or "").lower() in _METAS:
                    self._picture(of.get("content"))
            case "base":
                pass  # the page's base is known already
            case "iframe" | "frame":
                self._page(of.get("src"))
            case "video":
                self._picture(of.get("poster"))
            case "image":
                self._picture(of.get("href") or of.get("xlink:href"))
            case "object" | "embed":
                self._picture(of.get("data") or of.get("src"))
            case "style":
                pictures, sheets = references_of_sheet(self._bounded(node.text()))
                for one in pictures:
                    self._picture(one)
                for one in sheets:
                    self._sheet(one)
            case _:
                self._picture(of.get("background"))
        if "style" in of:
            for one in pictures_of_style(self._bounded(of["style"] or "")):
                self._picture(one)
        for name in _BACKGROUNDS:
            if name in of:
                self._background(of[name] or "")

    def _background(self, text: str) -> None:
        """An address, or a value of CSS such as `url(...)`."""
        if "(" not in text:
            self._picture(text)
            return
        for one in pictures_of_style(self._bounded(text)):
            self._picture(one)

    def _bounded(self, style: str) -> str:
        style = style[: self._style_left]
        self._style_left -= len(style)
        return style

    def _picture_of(self, node: LexborNode, of: _Attributes) -> None:
        if node.tag == "source" and node.parent is not None and node.parent.tag != "picture":
            return  # the source of a video or an audio
        alt = of.get("alt") or ""
        if alt:
            alt = one_line(alt, LONGEST_ALT)
        self._picture(of.get("src"), alt)
        for name in _LAZY:
            if name in of:
                self._picture(of[name], alt)
        for name in _SETS:
            if name in of:
                for one in candidates(of[name]):
                    self._picture(one, alt)

    def _link(self, of: _Attributes) -> None:
        kinds = set((of.get("rel") or "").lower().split())
        if "stylesheet" in kinds:
            self._sheet(of.get("href"))
        elif kinds & _ICONS:
            self._picture(of.get("href"))
        elif "preload" in kinds and (of.get("as") or "").lower() == "image":
            self._picture(of.get("href"))
            for one in candidates(of.get("imagesrcset")):
                self._picture(one)
        elif kinds & {"canonical", "next", "prev"}:
            self._page(of.get("href"))

    def _joined(self, address: str) -> str | None:
        joined = self._join(address)
        if joined is None or len(joined) <= self._characters_left:
            self._characters_left -= len(joined or "")
            return joined
        self.found.left_out += 1
        return None

    def _page(self, address: str | None) -> None:
        if not self._follow or not address:
            return
        if (joined := self._joined(address)) is not None:
            self.found.pages.setdefault(joined)
        else:
            self.found.missed("page", address, self._base)

    def _refresh(self, content: str, node: LexborNode) -> None:
        said = refreshed(content)
        if said is None or not self._follow:
            return
        if (joined := self._join(said[1])) is None:
            self.found.missed("page", said[1], self._base)
            return
        soon = said[0] <= SOON_S and (node.parent is None or node.parent.tag != "noscript")
        if soon and self.found.refresh is None:
            self.found.refresh = joined
        else:
            self.found.pages.setdefault(joined)

    def _sheet(self, address: str | None) -> None:
        if not address:
            return
        if (joined := self._joined(address)) is not None:
            self.found.sheets.setdefault(joined)
        else:
            self.found.missed("css", address, self._base)

    def _picture(self, address: str | None, alt: str = "") -> None:
        if not address:
            return
        if (joined := self._joined(address)) is None:
            self.found.missed("image", address, self._base)
            return
        if not self.found.pictures.get(joined):
            self.found.pictures[joined] = alt


def _base_of(nodes: list[tuple[str, _Attributes]], address: str) -> str:
    hrefs = (of["href"] for tag, of in nodes if tag == "base" and "href" in of)
    href = next(hrefs, None)
    return (normalized(href, address) if href else None) or address


def _says_nofollow(nodes: list[tuple[str, _Attributes]]) -> bool:
    return any(
        tag == "meta"
        and (of.get("name") or "").lower() == "robots"
        and {"nofollow", "none"} & set(_words(of.get("content")))
        for tag, of in nodes
    )


def _words(text: str | None) -> list[str]:
    return (text or "").lower().replace(",", " ").split()
