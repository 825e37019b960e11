"""References in style sheets."""

from __future__ import annotations

import pytest

from jobs.crawl.look.styles import pictures_of_style, references_of_sheet


@pytest.mark.parametrize(
    ("style", "found"),
    [
        ("background: url(a.png)", ["a.png"]),
        ("background: url( 'a.png' )", ["a.png"]),
        ('background: url("a b.png") no-repeat, url(c.png)', ["a b.png", "c.png"]),
        ("background: URL(a.png)", ["a.png"]),
        (r"background: url(a\)b.png)", ["a)b.png"]),
        (r"background: url('a\20 b.png')", ["a b.png"]),
        (r"background: u\72l(a.png)", ["a.png"]),
        ("background: image-set('a.png' 1x, url(b.png) 2x)", ["a.png", "b.png"]),
        ("background: image-set('a.png' type('image/png'))", ["a.png"]),
        ("background: -webkit-image-set(url(b.png) 2x)", ["b.png"]),
        ("background: cross-fade(url(a.png), url(b.png), 50%)", ["a.png", "b.png"]),
        ("--own: { background: url(a.png) }", ["a.png"]),
        ("/* url(a.png) */ color: red", []),
        ("content: 'url(a.png)'", []),
        ("background: url(a.png", ["a.png"]),
        ("background: url(a b.png)", []),
        ("color: red", []),
    ],
)
def test_pictures_of_a_style_attribute(style: str, found: list[str]) -> None:
    assert pictures_of_style(style) == found


@pytest.mark.parametrize(
    ("sheet", "pictures", "sheets"),
    [
        ("a { background: url(a.png) }", ["a.png"], []),
        ("@media print { a { background: url(a.png) } }", ["a.png"], []),
        ("@media print { @supports (a: b) { i { background: url(a.png) } } }", ["a.png"], []),
        ("a { b { background: url(a.png) } }", ["a.png"], []),
        ('@import "a.css";', [], ["a.css"]),
        ("@import url(a.css);", [], ["a.css"]),
        ('@IMPORT url("a.css") screen;', [], ["a.css"]),
        ('@import "a.css" supports(background: url(b.png));', [], ["a.css"]),
        ("@font-face { src: url(a.woff2) } a { background: url(a.png) }", ["a.png"], []),
        ("@namespace url(http://www.w3.org/1999/xhtml);", [], []),
        ("/* @import 'a.css'; a { background: url(a.png) } */", [], []),
        ("a { cursor: url(a.png) } } b { cursor: url(b.png) }", ["a.png", "b.png"], []),
        ("a { background: image-set('a.png' 1x) }", ["a.png"], []),
        ("<!-- a { background: url(a.png) } -->", ["a.png"], []),
        ("", [], []),
    ],
)  # fmt: skip
def test_references_of_a_sheet(sheet: str, pictures: list[str], sheets: list[str]) -> None:
    assert references_of_sheet(sheet) == (pictures, sheets)


@pytest.mark.parametrize("opening", ["(", "[", "{", "f(", "image-set("])
def test_brackets_nested_ten_thousand_deep_are_read(opening: str) -> None:
    text = "x: " + opening * 10_000 + "url(a.png)"
    assert pictures_of_style(text) == ["a.png"]
    assert references_of_sheet("a {" + text)[0] == ["a.png"]
