"""The demo's site: small, and every way to show a picture is used once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SITE = Path(__file__).resolve().parents[2] / "deploy" / "demo" / "site"
PICTURES = {".gif", ".ico", ".jpg", ".png", ".svg", ".webp"}
MISSING = {"gone.html", "sold.png"}
WAYS = {
    "img src": r"<img src=",
    "srcset": r"<img [^>]*srcset=",
    "picture source": r"<source [^>]*srcset=",
    "data-src": r" data-src=",
    "icon": r'<link rel="icon"',
    "og:image": r'<meta property="og:image"',
    "style element": r"<style>\s[^<]*url\(",
    "style attribute": r'style="[^"]*url\(',
    "url() of a sheet": r"background: url\(img/",
    "@import": r"^@import ",
    "a href to a picture": r'<a href="[^"]*\.png"',
    "area": r"<area [^>]*href=",
    "iframe": r"<iframe src=",
    "base href": r"<base href=",
    "canonical": r'<link rel="canonical"',
    "robots.txt": r"^Disallow: /private/$",
}


def _files(*endings: str) -> list[Path]:
    return [path for path in SITE.rglob("*") if path.suffix in endings]


def _text() -> str:
    return "".join(path.read_text("utf-8") for path in _files(".html", ".css", ".txt"))


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_show_a_picture_is_used(way: str) -> None:
    assert re.search(WAYS[way], _text(), re.MULTILINE)


def test_the_site_is_small_and_no_picture_is_left_without_a_page() -> None:
    pages, pictures = _files(".html"), _files(*PICTURES)
    assert len(pages) >= 12
    assert len(pictures) >= 30
    assert sum(path.stat().st_size for path in SITE.rglob("*") if path.is_file()) < 300_000
    text = _text()
    assert [path.name for path in pictures if path.name not in text] == []


def test_two_references_lead_nowhere_and_two_pictures_lie() -> None:
    named = set(re.findall(r"[\w-]+\.(?:png|jpg|gif|webp|svg|ico|html|css)", _text()))
    assert named - {path.name for path in SITE.rglob("*")} == MISSING
    assert (SITE / "lies/jpeg-inside.png").read_bytes().startswith(b"\xff\xd8\xff")
    assert (SITE / "lies/page.jpg").read_text().startswith("This is no picture")


def test_the_twins_are_one_picture() -> None:
    twins = [SITE / "twins" / name for name in ("moon.png", "the-same-moon.png")]
    assert twins[0].read_bytes() == twins[1].read_bytes()
