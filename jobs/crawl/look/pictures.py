"""What a body really is, whatever its name and header say: type and size of a picture.

Pillow reads the heads of raster pictures, the standard library's XML parser reads SVG.
"""

from __future__ import annotations

import functools
import io
import warnings
from dataclasses import dataclass
from xml.etree.ElementTree import Element, ParseError, XMLPullParser

from PIL import Image, UnidentifiedImageError, WebPImagePlugin

from .kinds import ENDINGS, MOST_PIXELS, most_pixels

HEAD_BYTES = 64 * 1024
MOST_CLAIMED = 10**9
"""No picture has more pixels: such a head is made up."""

Image.preinit()  # PNG, JPEG, GIF
assert WebPImagePlugin  # its import makes WebP known
# Above twice as many Pillow raises an error; also for pictures inside of others, such as in an ICO.
Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2
# Pillow warns of large and damaged pictures. Nobody looks at them here.
warnings.filterwarnings("ignore", module=r"PIL\.")
_OFTEN = {"PNG": b"\x89PNG", "JPEG": b"\xff\xd8\xff", "GIF": b"GIF8", "WEBP": b"RIFF"}
"""How pictures of the usual formats begin. Pillow opens MPO as JPEG."""

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_FEED_BYTES = 1024  # an SVG's root is nearly always in the first piece; the rest is not parsed
_SVG = "{http://www.w3.org/2000/svg}svg"


@dataclass(frozen=True)
class Picture:
    """type: the ending of its files. width, height: in pixels; None where there is none."""

    type: str
    width: int | None
    height: int | None


def formats_of(head: bytes) -> tuple[str, ...]:
    """The formats that Pillow should try for a picture that begins so."""
    usual = tuple(name for name, start in _OFTEN.items() if head.startswith(start))
    return usual or _others()


@functools.cache
def _others() -> tuple[str, ...]:
    # Their modules take as long to import as all the rest, and most crawls meet none of them.
    Image.init()
    return tuple(name for name in ENDINGS if name in Image.OPEN and name not in _OFTEN)


def picture_of(body: bytes) -> Picture | None:
    """The picture that a body is, or None. The head of a body (`HEAD_BYTES`) is enough."""
    if body[:64].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        return _svg(body[:HEAD_BYTES])
    try:
        with Image.open(io.BytesIO(body), formats=formats_of(body)) as image:
            width, height = image.size
            return Picture(ENDINGS[image.format or ""], width, height)
    except Image.DecompressionBombError:
        return _very_large(body)
    except Exception:  # no picture: Pillow's decoders raise what they like
        return None


def _very_large(body: bytes) -> Picture | None:
    """A picture that Pillow does not open because of its size. Only its head is read."""
    for name in formats_of(body):
        make, accepts = Image.OPEN[name]
        if accepts is None or accepts(body[:16]) is not True:
            continue
        try:
            with make(io.BytesIO(body), "") as image:
                width, height = image.size
                if width * height <= MOST_CLAIMED:
                    return Picture(ENDINGS[name], width, height)
        except Exception:  # as above
            continue
    return None


def says_it_late(head: bytes) -> bool:
    """Whether what a picture is may stand after its pixels, as a TIFF's directory often does."""
    return head.startswith(_TIFF)


def is_whole(body: bytes) -> bool:
    """Whether a raster picture can be decoded to its end. A very large one is not tried."""
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(io.BytesIO(body), formats=formats_of(body)) as image,
        ):
            width, height = image.size
            if width * height <= most_pixels(ENDINGS[image.format or ""]):
                image.load()
    except UnidentifiedImageError:
        return True  # an SVG, which has been read as far as needed
    except Image.DecompressionBombError:
        return picture_of(body) is not None  # too large to be decoded, and taken as it is
    except Exception:  # Pillow's decoders raise what they like
        return False
    return True


def _svg(head: bytes) -> Picture | None:
    parser: XMLPullParser[Element] = XMLPullParser(events=["start"])
    root = None
    try:
        for start in range(0, len(head), _FEED_BYTES):
            parser.feed(head[start : start + _FEED_BYTES])
            # This raises an error in the piece, after the events before it.
            root = next((event[-1] for event in parser.read_events()), None)
            if root is not None:
                break
    except (ParseError, LookupError, ValueError):  # the last two: of its encoding
        return None
    if not isinstance(root, Element) or root.tag not in (_SVG, "svg"):
        return None
    return Picture("svg", *_svg_size(root))


def _svg_size(root: Element) -> tuple[int | None, int | None]:
    width, height = _pixels(root.get("width")), _pixels(root.get("height"))
    box = (root.get("viewBox") or "").replace(",", " ").split()
    if len(box) == 4:
        width, height = width or _pixels(box[2]), height or _pixels(box[3])
    return width, height


_UNITS = {"": 1.0, "px": 1.0, "pt": 4 / 3, "pc": 16.0, "mm": 96 / 25.4, "cm": 96 / 2.54, "in": 96.0}
"""CSS Values and Units Level 4, 6.2: absolute lengths, in pixels."""


def _pixels(length: str | None) -> int | None:
    text = (length or "").strip().lower()
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz%")
    factor = _UNITS.get(text[len(number) :])
    if factor is None:
        return None
    try:
        return round(float(number) * factor) or None
    except (ValueError, OverflowError):
        return None
