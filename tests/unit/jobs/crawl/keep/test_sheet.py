"""The contact sheet."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from jobs.crawl.keep import sheet, thumbnails
from jobs.crawl.keep.files import Store
from jobs.crawl.keep.indexing import write_index
from jobs.crawl.keep.sheet import write_sheet
from jobs.crawl.keep.thumbnails import LARGE_BYTES
from jobs.crawl.site import Site

START = "http://site.test/"
Make = Callable[..., bytes]
Add = Callable[..., str]


@pytest.fixture
def add(tmp_path: Path, site: Callable[..., Site]) -> Add:
    """Puts a picture into the folder and its index: `add("a.png", body, alt="x")`."""

    def made(name: str, body: bytes, alt: str = "", ending: str = "", **result: Any) -> str:
        incoming = Store(tmp_path).incoming()
        incoming.write(body)
        kind = name.rpartition(".")[2]
        file = incoming.keep(ending or kind)
        payload = {"kind": "image", "url": START + name, "site": site().packed(), "page": START,
                   "alt": alt}  # fmt: skip
        what = {"file": file, "type": kind, "bytes": len(body), "width": 4, "height": 3, **result}
        write_index(str(tmp_path), [(payload, what)], "jsonl", whole=True)
        return file

    return made


def shown(path: Path) -> list[str]:
    return re.findall(r'<img loading="lazy" src="([^"]*)"', path.read_text("utf-8"))


def test_small_pictures_are_shown_as_they_are(tmp_path: Path, add: Add, picture: Make) -> None:
    file = add("a.png", picture(), "the sea")
    path = write_sheet(str(tmp_path))
    assert path == tmp_path / "index.html"
    assert shown(path) == [file]
    text = path.read_text("utf-8")
    assert "<title>1 image of site.test</title>" in text
    assert 'alt="the sea"' in text
    assert "png, 4 × 3, " in text  # noqa: RUF001
    assert f'<a href="{START}a.png">a.png</a>' in text
    assert f'on <a href="{START}">/</a>' in text
    assert not (tmp_path / "thumbs").exists()


def test_what_pages_say_of_their_pictures_is_text_and_no_html(
    tmp_path: Path, add: Add, picture: Make
) -> None:
    add("a.png?x='><script>", picture(), '"><script>alert(1)</script>')
    text = write_sheet(str(tmp_path)).read_text("utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_a_large_picture_is_shown_by_its_thumbnail_if_there_is_one_and_nothing_is_decoded(
    tmp_path: Path, add: Add, picture: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_one = add("a.png", picture("PNG", 1200, 900), width=1200, height=900)
    without = add("b.jpg", picture("JPEG", 1200, 900), width=1200, height=900)
    drawn = add("c.svg", b"<svg/>" + b" " * LARGE_BYTES, width=1200, height=900)
    assert thumbnails.make(Store(tmp_path), with_one)

    def opens(*_: object, **__: object) -> None:
        raise AssertionError("a picture is opened")

    monkeypatch.setattr(Image, "open", opens)
    monkeypatch.setattr(thumbnails, "make", opens)
    small = f"thumbs/{with_one.rpartition('.')[0]}.webp"
    assert shown(write_sheet(str(tmp_path))) == [small, without, drawn]


def test_an_svg_that_may_run_something_is_linked_and_not_shown(tmp_path: Path, add: Add) -> None:
    drawn = add("a.svg", b"<svg/>")
    live = add("b.svg.txt", b"<svg><script/></svg>", ending="svg.txt", type="svg")
    path = write_sheet(str(tmp_path))
    assert live.endswith(".svg.txt")
    assert shown(path) == [drawn]
    text = path.read_text("utf-8")
    assert f'<a class="picture" href="{live}">SVG, as text</a>' in text
    assert f'src="{live}"' not in text


def test_many_pictures_are_on_several_pages_and_old_pages_go(
    tmp_path: Path, add: Add, picture: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [add(f"{shade}.png", picture(shade=shade)) for shade in range(5)]
    monkeypatch.setattr(sheet, "A_PAGE", 2)
    write_sheet(str(tmp_path))
    paths = [tmp_path / name for name in ("index.html", "index-2.html", "index-3.html")]
    assert [file for path in paths for file in shown(path)] == files
    assert "page 2 of 3</title>" in paths[1].read_text("utf-8")
    links = re.findall(
        r'<li><a href="([^"]*)"( aria-current="page")?>(\d)</a>', paths[1].read_text()
    )
    at = [("index.html", False), ("index-2.html", True), ("index-3.html", False)]
    assert [(name, bool(here)) for name, here, _ in links] == at * 2  # above and below
    monkeypatch.setattr(sheet, "A_PAGE", 5)
    write_sheet(str(tmp_path))
    assert [path.exists() for path in paths] == [True, False, False]


@pytest.mark.parametrize(
    ("number", "count", "shown"),
    [
        (0, 1, [0]),
        (1, 3, [0, 1, 2]),
        (0, 9, [0, 1, 2, 3, None, 8]),
        (50, 100, [0, None, 47, 48, 49, 50, 51, 52, 53, None, 99]),
        (99, 100, [0, None, 96, 97, 98, 99]),
    ],
)
def test_a_page_of_many_links_to_those_near_it(
    number: int, count: int, shown: list[int | None]
) -> None:
    assert sheet._near(number, count) == shown


def test_a_crawl_without_pictures_has_a_sheet_too(
    tmp_path: Path, site: Callable[..., Site]
) -> None:
    write_index(str(tmp_path), [], "jsonl", whole=True)
    assert "<h1>0 images</h1>" in write_sheet(str(tmp_path)).read_text("utf-8")


def test_without_an_index_there_is_no_sheet(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_sheet(str(tmp_path))
