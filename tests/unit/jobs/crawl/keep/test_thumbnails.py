"""Small copies of large pictures, made by the visit that stores them."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from jobs.crawl.keep import thumbnails
from jobs.crawl.keep.files import Store
from jobs.crawl.keep.thumbnails import EDGE, LARGE_BYTES, LARGE_PIXELS
from jobs.crawl.look.kinds import MOST_PIXELS, most_pixels
from jobs.crawl.site import Site
from jobs.crawl.visit.visitor import Visitor
from queue_manager import Result

Make = Callable[..., bytes]


def stored(folder: Path, body: bytes, ending: str) -> str:
    incoming = Store(folder).incoming()
    incoming.write(body)
    return incoming.keep(ending)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP"])
def test_a_thumbnail_is_made_once(tmp_path: Path, picture: Make, form: str) -> None:
    file = stored(tmp_path, picture(form, 1200, 900), form.lower())
    assert thumbnails.make(Store(tmp_path), file)
    place = tmp_path / "thumbs" / f"{file.rpartition('.')[0]}.webp"
    with Image.open(place) as image:
        assert (image.format, image.size) == ("WEBP", (EDGE, EDGE * 3 // 4))
    before = place.stat().st_ino
    assert thumbnails.make(Store(tmp_path), file)
    assert place.stat().st_ino == before
    assert list((tmp_path / ".part").iterdir()) == []


def test_a_thumbnail_keeps_what_is_transparent(tmp_path: Path) -> None:
    body = io.BytesIO()
    Image.new("RGBA", (1200, 900), (0, 0, 0, 0)).save(body, "PNG")
    file = stored(tmp_path, body.getvalue(), "png")
    assert thumbnails.make(Store(tmp_path), file)
    with Image.open(tmp_path / thumbnails.name_of(file)) as image:
        assert image.convert("RGBA").getpixel((0, 0))[3] == 0  # type: ignore[index]


def test_what_is_damaged_or_very_large_has_none_and_leaves_nothing(
    tmp_path: Path, picture: Make
) -> None:
    damaged = stored(tmp_path, picture("JPEG", 1200, 900)[:100], "jpg")
    bomb = stored(tmp_path, picture("PNG", 5001, 5001), "png")
    for file in (damaged, bomb, "ab/missing.png"):
        assert not thumbnails.make(Store(tmp_path), file)
    assert list((tmp_path / ".part").iterdir()) == []
    assert not (tmp_path / "thumbs").exists()


@pytest.mark.parametrize(
    ("kind", "size_bytes", "width", "height", "wanted"),
    [
        ("png", LARGE_BYTES, LARGE_PIXELS // 1000, 1000, False),
        ("png", LARGE_BYTES + 1, 1, 1, True),
        ("png", 1, LARGE_PIXELS // 1000 + 1, 1000, True),
        ("png", 1, MOST_PIXELS, 1, True),
        ("png", 1, MOST_PIXELS + 1, 1, False),
        ("webp", 1, MOST_PIXELS // 2, 1, True),
        ("webp", 1, MOST_PIXELS // 2 + 1, 1, False),
        ("jp2", 1, MOST_PIXELS // 4, 1, True),
        ("jp2", 1, MOST_PIXELS // 4 + 1, 1, False),
        ("svg", LARGE_BYTES + 1, None, None, False),
    ],
)
def test_large_pictures_have_one(
    kind: str, size_bytes: int, width: int | None, height: int | None, wanted: bool
) -> None:
    assert thumbnails.is_wanted(kind, size_bytes, width, height) is wanted


@pytest.mark.parametrize("framed", [True, False])
def test_the_visit_that_stores_a_picture_makes_its_thumbnail_beside_the_event_loop(
    site: Callable[..., Site], tmp_path: Path, picture: Make, monkeypatch: pytest.MonkeyPatch,
    framed: bool,
) -> None:  # fmt: skip
    body = picture("PNG", 1200, 900)
    threads, make = [], thumbnails.make

    def made(store: Store, file: str) -> bool:
        threads.append(threading.current_thread())
        return make(store, file)

    monkeypatch.setattr(thumbnails, "make", made)

    async def visit() -> Any:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            length = f"Content-Length: {len(body)}\r\n" if framed else ""
            head = (
                f"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n{length}Connection: close\r\n\r\n"
            )
            writer.write(head.encode() + body)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/a.png"
        settings = site(robots=False, private=True)
        visitor = Visitor(settings, "here")
        try:
            payload = {"kind": "image", "url": address, "site": settings.packed()}
            return await visitor.visit(payload)
        finally:
            await visitor.close()
            server.close()

    result = asyncio.run(visit())
    value = result.value if isinstance(result, Result) else result
    assert (tmp_path / thumbnails.name_of(value["file"])).is_file()
    (thread,) = threads
    assert thread is not threading.main_thread()


def test_a_picture_that_has_not_changed_gets_the_thumbnail_that_an_older_folder_lacks(
    site: Callable[..., Site], tmp_path: Path, picture: Make
) -> None:
    file = stored(tmp_path, body := picture("PNG", 1200, 900), "png")
    small = stored(tmp_path, picture(), "png")

    async def visit() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/a.png"
        settings = site(robots=False, private=True)
        visitor = Visitor(settings, "here")
        large = {"file": file, "bytes": len(body), "width": 1200, "height": 900}
        tiny = {"file": small, "bytes": len(picture()), "width": 4, "height": 3}
        try:
            for known in (large, large, tiny):
                payload = {"kind": "image", "url": address, "site": settings.packed()}
                payload["known"] = known = {**known, "type": "png", "etag": '"1"'}
                result = await visitor.visit(payload)
                value = result.value if isinstance(result, Result) else result
                assert value == {**known, "unchanged": True}
        finally:
            await visitor.close()
            server.close()

    asyncio.run(visit())
    thumbs = [path for path in (tmp_path / "thumbs").rglob("*") if path.is_file()]
    assert thumbs == [tmp_path / thumbnails.name_of(file)]


_MAKE = """
import sys
from pathlib import Path
from jobs.crawl.keep import thumbnails
from jobs.crawl.keep.files import Store
assert thumbnails.make(Store(Path(sys.argv[1])), sys.argv[2])
# Not ru_maxrss, which counts what the parent of the process had.
said = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(int(said["VmHWM"].split()[0]) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux does")
@pytest.mark.parametrize(("form", "kind"), [("PNG", "png"), ("WEBP", "webp"), ("JPEG2000", "jp2")])
def test_the_thumbnail_of_the_largest_picture_takes_less_than_300_mib(
    tmp_path: Path, form: str, kind: str
) -> None:
    edge = int(most_pixels(kind) ** 0.5)
    body = io.BytesIO()
    fast = {"compress_level": 1, "method": 0} if form != "JPEG2000" else {}
    Image.new("RGBA", (edge, edge), (1, 2, 3, 4)).save(body, form, **fast)
    file = stored(tmp_path, body.getvalue(), kind)
    command = [sys.executable, "-c", _MAKE, str(tmp_path), file]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout) < 300
