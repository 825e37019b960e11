"""Types and sizes of pictures, by what is in them."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable

import pytest
from PIL import features

from jobs.crawl.look.kinds import TYPES
from jobs.crawl.look.pictures import HEAD_BYTES, Picture, is_whole, picture_of

SVG = '<svg xmlns="http://www.w3.org/2000/svg" {}><path d="M0 0"/></svg>'
FORMS = {
    "AVIF": "avif",
    "BMP": "bmp",
    "GIF": "gif",
    "ICO": "ico",
    "JPEG": "jpg",
    "JPEG2000": "jp2",
    "PNG": "png",
    "TIFF": "tiff",
    "WEBP": "webp",
}
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
_MODULES = {"AVIF": "avif", "JPEG2000": "jpg_2000", "WEBP": "webp"}
Make = Callable[..., bytes]


def svg(attributes: str = "") -> bytes:
    return SVG.format(attributes).encode()


def png_of(width: int, height: int) -> bytes:
    """A PNG that claims a size and has almost nothing in it."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    rest = chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + rest


@pytest.mark.parametrize("form", FORMS)
def test_the_type_and_size_are_those_of_the_content(form: str, picture: Make) -> None:
    if form in _MODULES and not features.check(_MODULES[form]):
        pytest.skip(f"this Pillow has no {form}")
    height = 32 if form == "ICO" else 16  # icons are squares
    body = picture(form, 32, height)
    assert picture_of(body) == Picture(FORMS[form], 32, height)
    assert is_whole(body)


def test_the_modules_of_rare_formats_are_imported_when_a_body_needs_them() -> None:
    program = """
import sys
from jobs.crawl.look.pictures import picture_of
for usual in (b"\\x89PNG", b"\\xff\\xd8\\xff", b"GIF89a", b"RIFF"):
    picture_of(usual)
assert "PIL.TiffImagePlugin" not in sys.modules
picture_of(b"II*\\0")
assert "PIL.TiffImagePlugin" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_all_types_have_a_name() -> None:
    assert set(TYPES) == {*FORMS.values(), "svg"}


@pytest.mark.parametrize("form", ["BMP", "GIF", "JPEG", "PNG", "WEBP"])
def test_the_head_of_a_body_is_enough(form: str, picture: Make) -> None:
    body = picture(form, 400, 300) + os.urandom(2 * HEAD_BYTES)
    assert picture_of(body[:HEAD_BYTES]) == Picture(FORMS[form], 400, 300)


@pytest.mark.parametrize(
    ("attributes", "width", "height"),
    [
        ("", None, None),
        ('width="32" height="16"', 32, 16),
        ('width="32px" height="16.4px"', 32, 16),
        ('width="1in" height="2.54cm"', 96, 96),
        ('width="12pt" height="1pc"', 16, 16),
        ('viewBox="0 0 32 16"', 32, 16),
        ('viewBox="0,0,32,16" width="64"', 64, 16),
        ('width="100%" height="2em" viewBox="0 0 32 16"', 32, 16),
        ('width="x" height="-"', None, None),
        ('width="nan" height="inf"', None, None),
        ('width="1e999" height="0"', None, None),
    ],
)
def test_the_size_of_an_svg(attributes: str, width: int | None, height: int | None) -> None:
    assert picture_of(svg(attributes)) == Picture("svg", width, height)


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- a --><!DOCTYPE svg PUBLIC "a" "b">\n' + svg(),
        b"\n\n  " + svg(),
        b"<svg><path/></svg>",
        b'<?xml version="1.0" encoding="iso-8859-1"?>' + b'<svg id="\xe4"/>',
        b'<svg:svg xmlns:svg="http://www.w3.org/2000/svg"/>',
        svg() + b"<!--" + b"x" * 200_000 + b"-->",
    ],
)  # fmt: skip
def test_an_svg_is_told_by_its_first_element(body: bytes) -> None:
    found = picture_of(body)
    assert found is not None
    assert found.type == "svg"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"This is no picture\n",
        b"<!doctype html><html><body><svg></svg></body></html>",
        b"<html xmlns='http://www.w3.org/1999/xhtml'><svg/></html>",
        b"<svg",
        b"<svg a=b>",
        b"< svg/>",
        b'<?xml version="1.0" encoding="no-such"?><svg/>',
        b'<?xml version="1.0" encoding="shift_jis"?><svg/>',
        b"%PDF-1.7\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        b"GIF89a",
        b"RIFF\0\0\0\0WEBP",
        b"II*\0\xff\xff\xff\xff",
        b"\0\0\1\0\1\0",
        b"BM" + b"\xff" * 60,
        b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41",
    ],
)
def test_what_is_no_picture_is_none(body: bytes) -> None:
    assert picture_of(body) is None


def test_entities_that_unfold_a_thousandfold_are_no_picture_and_cost_nothing() -> None:
    lines = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    text = f'<!DOCTYPE svg [<!ENTITY a0 "ha">{lines}]><svg width="&a9;"/>'
    assert picture_of(text.encode()) is None


@pytest.mark.parametrize("form", ["GIF", "JPEG", "PNG", "WEBP", "TIFF"])
def test_a_picture_that_is_cut_off_is_not_whole(form: str, picture: Make) -> None:
    body = picture(form, 300, 200)
    assert is_whole(body)
    assert not is_whole(body[: len(body) * 2 // 3])


def test_of_an_svg_nothing_is_known() -> None:
    assert is_whole(svg())


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_head_that_claims_a_size_without_measure_is_no_picture() -> None:
    assert picture_of(png_of(20_000, 5_000)) == Picture("png", 20_000, 5_000)
    assert picture_of(png_of(2**31 - 1, 2**31 - 1)) is None
    assert not is_whole(png_of(2**31 - 1, 2**31 - 1))


def test_bytes_at_random_behind_any_head_raise_nothing(picture: Make) -> None:
    chance = random.Random(1)
    for form in FORMS:
        if form in _MODULES and not features.check(_MODULES[form]):
            continue
        whole = picture(form, 16, 16)
        for _ in range(60):
            body = bytearray(whole)
            for _ in range(chance.randrange(1, 12)):
                body[chance.randrange(len(body))] = chance.randrange(256)
            picture_of(bytes(body[: chance.randrange(8, len(body) + 1)]))
            is_whole(bytes(body))


def test_a_picture_with_very_many_pixels_is_kept_but_never_decoded() -> None:
    bomb = png_of(20_000, 20_000)
    assert picture_of(bomb) == Picture("png", 20_000, 20_000)
    assert is_whole(bomb), "what is not decoded is taken as it is"
    assert not is_whole(png_of(3000, 3000)), "its pixels are missing, and it is decoded"
