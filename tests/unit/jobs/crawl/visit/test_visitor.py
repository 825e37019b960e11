"""One address: what needs no network."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jobs.crawl.following import task_of
from jobs.crawl.keep.files import Store
from jobs.crawl.look.found import Found
from jobs.crawl.look.pictures import picture_of
from jobs.crawl.rules import Rules, RulesOfHosts
from jobs.crawl.site import Site, unpacked
from jobs.crawl.visit.pictures import ending_of
from jobs.crawl.visit.texts import LONG_BYTES, looked
from jobs.crawl.visit.visitor import Visitor
from queue_manager import Limit, Reject, Result

START = "http://site.test/"


@pytest.fixture(autouse=True)
def rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each robots.txt asks for a pause of three seconds; who has read it knows it from then on."""

    async def fetch(self: Any, client: object, origin: str) -> Rules:
        read = Rules("User-agent: *\nCrawl-delay: 3\nDisallow: /no", "x", time.time())
        self._known[origin] = read
        return read

    monkeypatch.setattr(RulesOfHosts, "fetch", fetch)


def visited(site: Site, *payloads: dict[str, Any], folder: Path | None = None) -> list[Any]:
    """What a worker makes of them, one after the other; with a folder of its own."""

    async def visit() -> list[Any]:
        visitor = Visitor(msgspec.structs.replace(site, out=str(folder or site.out)), "here")
        try:
            return [await visitor.visit(payload) for payload in payloads]
        finally:
            await visitor.close()

    return asyncio.run(visit())


def start_of(site: Site) -> dict[str, Any]:
    return {"kind": "page", "url": START, "site": site.packed()}


def test_the_first_turn_of_a_host_goes_to_its_rules(site: Callable[..., Site]) -> None:
    (result,) = visited(site(), start_of(site()))
    assert isinstance(result, Result)
    assert result.value == {"robots": "site.test"}
    assert result.limits == {"site.test": Limit(at_once=2, every_s=3.0)}
    (again,) = result.follow
    assert (again.group, again.quota) == ("site.test", None)
    assert again.key != task_of(site(), start_of(site())).key


def test_a_turn_that_comes_to_a_worker_without_the_rules_is_not_the_last(
    tmp_path: Path, site: Callable[..., Site]
) -> None:
    keys = [task_of(site(), start_of(site())).key]
    payload = start_of(site())
    for number in range(3):
        (result,) = visited(site(), payload, folder=tmp_path / str(number))
        (again,) = result.follow
        keys.append(again.key)
        payload = again.payload
    assert len(set(keys)) == 4


def test_what_the_rules_disallow_is_a_skip(site: Callable[..., Site]) -> None:
    closed = {"kind": "page", "url": f"{START}no", "site": site().packed()}
    _, result = visited(site(), start_of(site()), closed)
    value = result.value if isinstance(result, Result) else result
    assert value == {"skip": "robots.txt disallows it"}


def test_a_private_address_is_rejected(site: Callable[..., Site]) -> None:
    local = {"kind": "image", "url": "http://127.0.0.1:9/a.png"}
    settings = site(robots=False)
    with pytest.raises(Reject, match="private network"):
        visited(settings, {**local, "site": settings.packed()})


def test_a_start_that_is_disallowed_fails_the_run_and_says_why(site: Callable[..., Site]) -> None:
    settings = site(start=f"{START}no")
    start = {"kind": "page", "url": f"{START}no", "site": settings.packed()}
    with pytest.raises(Reject, match=r"the start, http://site.test/no: robots.txt disallows it"):
        visited(settings, {**start, "url": START}, start)


def test_a_refresh_leads_like_a_redirect_and_in_a_circle_to_nothing(
    site: Callable[..., Site],
) -> None:
    async def visit() -> list[Any]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            page = f'<meta http-equiv=refresh content="0; url=//localhost:{port}/b">'.encode()
            head = f"Content-Type: text/html\r\nContent-Length: {len(page)}\r\n"
            writer.write(f"HTTP/1.1 200 OK\r\n{head}Connection: close\r\n\r\n".encode() + page)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        start = f"http://127.0.0.1:{port}/a"
        settings = site(start=start, hosts=["127.0.0.1"], robots=False, private=True)
        visitor = Visitor(settings, "here")
        payload = {"kind": "page", "url": start, "site": settings.packed()}
        there = f"http://localhost:{port}/b"
        circle = {**payload, "url": there, "hops": [start, there]}
        long_way = {**payload, "hops": [f"http://127.0.0.1:{port}/{n}" for n in range(10)]}
        try:
            return [there, *[await visitor.visit(one) for one in (payload, circle, long_way)]]
        finally:
            await visitor.close()
            server.close()

    there, first, circle, long_way = asyncio.run(visit())
    assert first.value["refresh"] == there
    (follow,) = first.follow
    assert follow.payload["url"] == there
    assert unpacked(follow.payload["site"]).hosts == ["127.0.0.1", "localhost"]
    value = circle.value if isinstance(circle, Result) else circle
    assert "refresh" not in value
    assert value["page"] == 0
    value = long_way.value if isinstance(long_way, Result) else long_way
    assert "refresh" not in value


@pytest.mark.parametrize(("inside", "ending"), [("<path/>", "svg"), ("<script/>", "svg.txt")])
def test_the_file_of_an_svg_that_may_run_has_a_name_that_runs_nothing(
    tmp_path: Path, inside: str, ending: str
) -> None:
    body = f'<svg xmlns="http://www.w3.org/2000/svg">{inside}</svg>'.encode()
    incoming = Store(tmp_path).incoming()
    incoming.write(body)
    found = picture_of(body)
    assert found is not None
    name = incoming.keep(ending_of(found, incoming))
    assert name.partition(".")[2] == ending
    assert (tmp_path / name).read_bytes() == body


def test_an_address_that_is_too_long_is_a_skip_that_says_so(site: Callable[..., Site]) -> None:
    payload = {"kind": "long", "url": "http://site.test/xxx...", "site": site().packed()}
    assert visited(site(), payload) == [{"skip": "its address has more than 4,096 characters"}]


def test_what_comes_when_the_quota_of_bytes_is_used_up_is_a_skip(
    site: Callable[..., Site], picture: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = picture(shade=1), picture(shade=2)
    monkeypatch.setattr("jobs.crawl.visit.visitor.MEGABYTE", len(first) + 1)
    asked: list[str] = []

    async def visit() -> list[Any]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
            asked.append(path)
            body = second if path == "/b" else first
            head = f"Content-Type: image/png\r\nContent-Length: {len(body)}\r\n"
            writer.write(f"HTTP/1.1 200 OK\r\n{head}Connection: close\r\n\r\n".encode() + body)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        at = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        settings = site(start=f"{at}/", megabytes=1, robots=False, private=True)
        visitor = Visitor(settings, "here")
        image = {"kind": "image", "site": settings.packed()}
        paths = ("a", "same", "b", "c")
        try:
            results = [await visitor.visit({**image, "url": f"{at}/{path}"}) for path in paths]
            again = {**image, "url": f"{at}/again", "known": {"file": "x", "bytes": 1}}
            results.append(await visitor.visit(again))
            return [one.value if isinstance(one, Result) else one for one in results]
        finally:
            await visitor.close()
            server.close()

    one, same, other, last, again = asyncio.run(visit())
    assert one["file"] == same["file"] == again["file"] != other["file"]
    assert last == {"skip": "megabytes=1 are stored already"}
    assert asked == ["/a", "/same", "/b", "/again"]


def test_the_start_hands_in_the_sitemaps_and_those_their_pages(
    site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = {
        "/": ("text/html", b"<p>nothing"),
        "/s.xml": ("application/xml", b"<sitemapindex><sitemap><loc>/t.xml</loc></sitemap>"
                   b"</sitemapindex>"),
        "/t.xml": ("text/xml", b"<urlset><url><loc>/a</loc></url></urlset>"),
        "/none.xml": ("text/html", b"<p>not found"),
    }  # fmt: skip

    async def fetch(self: Any, client: object, origin: str) -> Rules:
        self._known[origin] = Rules("Sitemap: /s.xml", "x", time.time())
        return self._known[origin]  # type: ignore[no-any-return]

    monkeypatch.setattr(RulesOfHosts, "fetch", fetch)

    async def visit() -> list[Any]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            kind, body = bodies[(await reader.readuntil(b"\r\n\r\n")).split()[1].decode()]
            head = f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
            writer.write(f"HTTP/1.1 200 OK\r\n{head}Connection: close\r\n\r\n".encode() + body)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        at = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        settings = site(start=f"{at}/", hosts=["127.0.0.1"], private=True)
        visitor = Visitor(settings, "here")
        start = {"kind": "page", "url": f"{at}/", "site": settings.packed()}
        try:
            await visitor.visit(start)  # whose turn goes to robots.txt
            results, payload = [], start
            for _ in range(3):
                results.append(await visitor.visit(payload))
                (follow,) = results[-1].follow
                payload = follow.payload
            results.append(
                await visitor.visit({**start, "kind": "sitemap", "url": f"{at}/none.xml"})
            )
            return [at, payload, *results]
        finally:
            await visitor.close()
            server.close()

    at, page, _, index, urls, none = asyncio.run(visit())
    assert (page["kind"], page["url"], page["depth"]) == ("page", f"{at}/a", 1)
    assert index.value["sitemap"] == urls.value["sitemap"] == 1
    assert "no sitemap" in (none.value if isinstance(none, Result) else none)["skip"]


def test_a_long_text_is_looked_through_beside_the_event_loop() -> None:
    async def look() -> bool:
        goes_on = threading.Event()

        def waits(*_: object) -> Found:
            return Found({"went on": goes_on.wait(10)}, {}, {})  # type: ignore[dict-item]

        asyncio.get_running_loop().call_soon(goes_on.set)
        found = await looked(waits, b"x" * (LONG_BYTES + 1), None, START)
        return bool(found.pages["went on"])

    assert asyncio.run(look())


def test_one_long_text_at_a_time_is_looked_through_in_a_process() -> None:
    threads = set()

    def looks(*_: object) -> Found:
        threads.add(threading.current_thread())
        return Found()

    async def look() -> None:
        text = b"x" * (LONG_BYTES + 1)
        await asyncio.gather(*(looked(looks, text, None, START) for _ in range(50)))

    for _ in range(2):
        asyncio.run(look())
    assert len(threads) == 1
    assert threads != {threading.main_thread()}
