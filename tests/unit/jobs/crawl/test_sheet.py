"""The contact sheet."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from jobs.crawl import sheet
from jobs.crawl.files import Store
from jobs.crawl.indexing import write_index
from jobs.crawl.sheet import EDGE, write_sheet
from jobs.crawl.site import Site

START = "http://site.test/"
Make = Callable[..., bytes]
Add = Callable[..., str]


@pytest.fixture
def add(tmp_path: Path, site: Callable[..., Site]) -> Add:
    """Puts a picture into the folder and its index: `add("a.png", body, alt="x")`."""

    def made(name: str, body: bytes, alt: str = "", **result: Any) -> str:
        incoming = Store(tmp_path).incoming()
        incoming.write(body)
        kind = name.rpartition(".")[2]
        file = incoming.keep(kind)
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
    assert "<title>1 images</title>" in text
    assert 'alt="the sea"' in text
    assert "png, 4 × 3, " in text  # noqa: RUF001
    assert f'<a href="{START}a.png">address</a>, <a href="{START}">page</a>' in text
    assert not (tmp_path / "thumbs").exists()


def test_what_pages_say_of_their_pictures_is_text_and_no_html(
    tmp_path: Path, add: Add, picture: Make
) -> None:
    add("a.png?x='><script>", picture(), '"><script>alert(1)</script>')
    text = write_sheet(str(tmp_path)).read_text("utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP"])
def test_large_pictures_have_thumbnails_which_are_made_once(
    tmp_path: Path, add: Add, picture: Make, form: str
) -> None:
    file = add(f"a.{form.lower()}", picture(form, 1200, 900), width=1200, height=900)
    (thumbnail,) = shown(write_sheet(str(tmp_path)))
    assert thumbnail == f"thumbs/{file.rpartition('.')[0]}.webp"
    with Image.open(tmp_path / thumbnail) as image:
        assert (image.format, image.size) == ("WEBP", (EDGE, EDGE * 3 // 4))
    before = (tmp_path / thumbnail).stat().st_ino
    assert shown(write_sheet(str(tmp_path))) == [thumbnail]
    assert (tmp_path / thumbnail).stat().st_ino == before
    assert list((tmp_path / ".part").iterdir()) == []


def test_a_thumbnail_keeps_what_is_transparent(tmp_path: Path, add: Add) -> None:
    import io

    body = io.BytesIO()
    Image.new("RGBA", (1200, 900), (0, 0, 0, 0)).save(body, "PNG")
    add("a.png", body.getvalue(), width=1200, height=900)
    (thumbnail,) = shown(write_sheet(str(tmp_path)))
    with Image.open(tmp_path / thumbnail) as image:
        assert image.convert("RGBA").getpixel((0, 0))[3] == 0  # type: ignore[index]


@pytest.mark.parametrize("what", ["missing", "damaged", "svg"])
def test_where_no_thumbnail_can_be_made_the_picture_itself_is_shown(
    tmp_path: Path, add: Add, picture: Make, what: str
) -> None:
    body = picture("JPEG", 1200, 900)
    name = "a.svg" if what == "svg" else "a.jpg"
    file = add(name, body, width=1200, height=900)
    if what == "missing":
        (tmp_path / file).unlink()
    elif what == "damaged":
        (tmp_path / file).write_bytes(body[:100])
    assert shown(write_sheet(str(tmp_path))) == [file]
    assert list((tmp_path / ".part").iterdir()) == []


def test_so_many_thumbnails_are_made_at_a_time(
    tmp_path: Path, add: Add, picture: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheet, "MOST_THUMBNAILS", 1)
    for shade in range(3):
        add(f"{shade}.png", picture("PNG", 1200, 900, shade), width=1200, height=900)
    for made in (1, 2, 3):
        pictures = shown(write_sheet(str(tmp_path)))
        assert sum(one.startswith("thumbs/") for one in pictures) == made


def test_many_pictures_are_on_several_pages_and_old_pages_go(
    tmp_path: Path, add: Add, picture: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [add(f"{shade}.png", picture(shade=shade)) for shade in range(5)]
    monkeypatch.setattr(sheet, "A_PAGE", 2)
    write_sheet(str(tmp_path))
    paths = [tmp_path / name for name in ("index.html", "index-2.html", "index-3.html")]
    assert [file for path in paths for file in shown(path)] == files
    assert "page 2 of 3</title>" in paths[1].read_text("utf-8")
    assert '<a href="index.html">1</a> <b>2</b> <a href="index-3.html">3</a>' in (
        paths[1].read_text("utf-8")
    )
    monkeypatch.setattr(sheet, "A_PAGE", 5)
    write_sheet(str(tmp_path))
    assert [path.exists() for path in paths] == [True, False, False]


def test_a_crawl_without_pictures_has_a_sheet_too(
    tmp_path: Path, site: Callable[..., Site]
) -> None:
    write_index(str(tmp_path), [], "jsonl", whole=True)
    assert "<h1>0 images</h1>" in write_sheet(str(tmp_path)).read_text("utf-8")


def test_without_an_index_there_is_no_sheet(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_sheet(str(tmp_path))
