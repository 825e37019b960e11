"""The crawler with a real master and workers, against a web server that means no good."""

from __future__ import annotations

import asyncio
import csv
import gzip
import hashlib
import io
import json
import random
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web as http
from PIL import Image

from jobs.crawl.fetch import guard
from jobs.crawl.site import Site
from jobs.crawl.visit.visitor import Visitor
from queue_manager import Reject, Result
from tests.chaos.ground.processes import children
from tests.crawl.hostile_web import Web, picture
from tests.integration.processes import REPO, Master, Place, eventually

JITTER_S = 0.5
"""So much later than its lease may a request come on a busy machine, and the one after it not."""

JOBS = str(REPO / "jobs")
IMPOLITE = {"at_once": 0, "per_second": 0, "robots": 0}


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as made:
        yield made


class Crawler:
    """The job `images` of the repository, run by a real master, and a folder for the files."""

    def __init__(self, master: Master, out: Path) -> None:
        self.master, self.out = master, out

    def begin(self, start: str, **arguments: Any) -> int:
        """Submit a run that may ask loopback; returns its number."""
        given = {"out": self.out, "private": 1, **IMPOLITE, **arguments}
        words = [f"{name}={value}" for name, value in given.items()]
        return self.master.submit("images", f"start={start}", *words)

    def end(self, run: int, within_s: float = 40.0) -> list[dict[str, Any]]:
        """Wait until a run and its `finish()` are over; returns its ended tasks."""
        self.wait(run, within_s)
        return self.master.results(run)

    def wait(self, run: int, within_s: float = 40.0) -> None:
        """Wait until a run and its `finish()` are over."""
        self.master.process.says(rf"^run {run} \(images\): [\d,]+ tasks? done", within_s)

    def run(self, start: str, **arguments: Any) -> int:
        """Both; returns the number of the run."""
        run = self.begin(start, **arguments)
        self.wait(run)
        return run

    def rows(self) -> dict[str, dict[str, Any]]:
        """The index, by path."""
        lines = (self.out / "index.jsonl").read_text("utf-8").splitlines()
        return {path_of(row["address"]): row for row in map(json.loads, lines)}

    def files(self) -> set[str]:
        """The names of all pictures that are there, each of which is whole."""
        found = {str(p.relative_to(self.out)) for p in self.out.glob("??/*")}
        for name in found:
            digest = hashlib.sha256((self.out / name).read_bytes()).hexdigest()
            assert name.replace("/", "").partition(".")[0] == digest
        return found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    """A master with two workers of one slot, for all tests that kill nothing."""
    started: list[Any] = []
    try:
        master = Master(tmp_path_factory.mktemp("shared"), started, JOBS_FOLDER=JOBS)
        for _ in range(2):
            master.worker(WORKER_SLOTS="1")
        yield master
    finally:
        for process in reversed(started):
            process.end()


@pytest.fixture
def crawler(shared: Master, tmp_path: Path) -> Crawler:
    return Crawler(shared, tmp_path / "out")


def path_of(address: str) -> str:
    return "/" + address.split("/", 3)[3]


def value_of(results: list[dict[str, Any]], path: str) -> Any:
    """What became of an address: its result, or the text of its dead letter."""
    of_path = [one for one in results if path_of(one["payload"]["url"]) == path]
    (last,) = (one for one in of_path if one["error"] or "robots" not in one["result"])
    return last["error"] or last["result"]


def name_of(body: bytes, ending: str = "png") -> str:
    digest = hashlib.sha256(body).hexdigest()
    return f"{digest[:2]}/{digest[2:]}.{ending}"


def spaced(starts: list[float], every_s: float) -> bool:
    """Whether they keep their distance, all in all: single ones may be late."""
    return all(
        later - earlier > (j - i) * every_s - JITTER_S
        for i, earlier in enumerate(starts)
        for j, later in enumerate(starts[i:], i)
    )


# --- what it finds and keeps ---


def test_each_address_is_fetched_once_and_each_picture_is_one_file(
    crawler: Crawler, web: Web
) -> None:
    paths = web.pages(12, pictures=2)
    same = web.picture("/same.png", seed="twin")
    web.picture("/twin.png", seed="twin")
    html = '<img src="/same.png" alt="the sea"><img src="/twin.png"><a href="/p0.html#x">'
    links = "".join(f'<a href="/p{number}.html">' for number in range(12))
    web.page("/", f'{links}{html}<a href="/gone.html"><img src="/moved.png">')
    web.redirect("/moved.png", "/same.png")
    run = crawler.run(web.url())
    asked = Counter(web.paths())
    assert asked == dict.fromkeys({*paths, "/same.png", "/twin.png", "/gone.html", "/moved.png"}, 1)
    rows = crawler.rows()
    assert len(rows) == 27
    assert rows["/same.png"]["file"] == rows["/twin.png"]["file"] == name_of(same)
    assert rows["/moved.png"]["file"] == name_of(same)
    assert rows["/same.png"]["alt"] == "the sea"
    assert rows["/i3-1.png"]["page"] == web.url("/p3.html")
    assert (rows["/same.png"]["width"], rows["/same.png"]["height"]) == (8, 4)
    assert crawler.files() == {row["file"] for row in rows.values()}
    assert len(crawler.files()) == 25
    assert value_of(crawler.end(run), "/gone.html") == {"skip": "status 404"}
    said = rf"^images: 27 images in 25 files of [\d.]+ kB: {crawler.out}/index\.jsonl$"
    crawler.master.process.says(said)
    crawler.master.process.says(rf"^images: look at {crawler.out}/index\.html$")
    sheet = (crawler.out / "index.html").read_text("utf-8")
    assert all(name in sheet for name in crawler.files())


def test_a_large_picture_that_says_at_its_end_what_it_is_is_kept(
    crawler: Crawler, web: Web
) -> None:
    body = io.BytesIO()
    noise = random.Random(1).randbytes(1_500_000)
    Image.frombytes("L", (1500, 1000), noise).save(body, "TIFF", compression="tiff_lzw")
    web.put("/large.tiff", body.getvalue(), "image/tiff")
    web.put("/no.tiff", b"II*\0" + noise, "image/tiff")
    web.page("/", '<img src="/large.tiff"><img src="/no.tiff">')
    crawler.run(web.url())
    assert {path: (row["type"], row["width"]) for path, row in crawler.rows().items()} == {
        "/large.tiff": ("tiff", 1500)
    }
    assert crawler.files() == {name_of(body.getvalue(), "tiff")}


def test_a_second_run_asks_for_what_has_changed(crawler: Crawler, web: Web) -> None:
    web.page("/", '<img src="/same.png"><img src="/new.png"><img src="/gone.png"><a href="/b">')
    web.page("/b", '<img src="/lost.png">')
    for name in ("same", "new", "gone", "lost"):
        web.picture(f"/{name}.png")
    crawler.run(web.url())
    before = crawler.rows()
    assert set(before) == {"/same.png", "/new.png", "/gone.png", "/lost.png"}

    web.asked.clear()
    new = web.picture("/new.png", seed="changed")
    del web.site.bodies["/gone.png"]
    (crawler.out / before["/lost.png"]["file"]).unlink()
    run = crawler.run(web.url())
    assert {one.path: one.status for one in web.asked} == {
        "/": 304, "/b": 304, "/same.png": 304, "/new.png": 200, "/gone.png": 404, "/lost.png": 200,
    }  # fmt: skip
    assert len(web.asked) == 6
    rows = crawler.rows()
    assert set(rows) == {"/same.png", "/new.png", "/lost.png"}
    assert rows["/same.png"] == before["/same.png"]
    assert rows["/new.png"]["file"] == name_of(new)
    assert rows["/lost.png"]["file"] in crawler.files()
    assert value_of(crawler.end(run), "/same.png")["unchanged"] is True

    web.asked.clear()
    web.page("/c", '<img src="/c.png">')
    web.picture("/c.png")
    web.page("/b", '<a href="/c">')
    crawler.run(web.url())
    assert set(crawler.rows()) == {*rows, "/c.png"}
    assert Counter(web.paths()).most_common(1)[0][1] == 1


def test_a_second_run_from_a_page_that_leads_elsewhere_by_itself_keeps_all(
    crawler: Crawler, web: Web
) -> None:
    web.page("/", '<meta http-equiv="refresh" content="0; url=/home"><p>Please wait.')
    web.page("/home", '<img src="/a.png">')
    web.picture("/a.png")
    for status in (200, 304):
        web.asked.clear()
        crawler.run(web.url())
        assert {one.path: one.status for one in web.asked} == dict.fromkeys(
            ("/", "/home", "/a.png"), status
        )
        assert set(crawler.rows()) == {"/a.png"}

    web.asked.clear()
    web.page("/", '<meta http-equiv="refresh" content="0; url=/other">')
    web.page("/other", '<img src="/b.png">')
    web.picture("/b.png")
    crawler.run(web.url())
    assert set(crawler.rows()) == {"/a.png", "/b.png"}


def test_the_index_in_other_forms(crawler: Crawler, web: Web) -> None:
    paths = web.pages(2)
    pictures = {path for path in paths if path.endswith(".png")}
    others = [Crawler(crawler.master, crawler.out.with_name(form)) for form in ("csv", "sqlite")]
    runs = [other.begin(web.url(), index=other.out.name) for other in others]
    for other, run in zip(others, runs, strict=True):
        other.wait(run)
    as_csv, as_sqlite = (other.out / f"index.{other.out.name}" for other in others)
    with as_csv.open(newline="", encoding="utf-8") as file:
        assert {path_of(row["address"]) for row in csv.DictReader(file)} == pictures
    with closing(sqlite3.connect(as_sqlite)) as db:
        found = {path_of(address) for (address,) in db.execute("SELECT address FROM images")}
    assert found == pictures
    assert not [other for other in others if (other.out / "index.jsonl").exists()]


# --- politeness ---


def test_robots_txt_is_obeyed(crawler: Crawler, web: Web) -> None:
    web.robots("User-agent: *\nDisallow: /private/\n")
    web.page("/", '<a href="/private/a"><img src="/private/a.png"><img src="/b.png">')
    web.picture("/b.png")
    web.page("/private/a", "")
    results = crawler.end(crawler.begin(web.url(), robots=1))
    assert Counter(one.path for one in web.asked) == {"/robots.txt": 1, "/": 1, "/b.png": 1}
    assert web.asked[0].path == "/robots.txt"
    assert value_of(results, "/private/a.png") == {"skip": "robots.txt disallows it"}
    assert web.asked[0].headers["User-Agent"] == "Quartermaster/1.0 (crawls images)"


def test_a_host_without_robots_txt_allows_all_and_one_that_fails_allows_nothing(
    crawler: Crawler, web: Web
) -> None:
    web.page("/", '<img src="/a.png">')
    web.picture("/a.png")

    async def busy(_: http.Request) -> http.StreamResponse:
        return http.Response(status=503, headers={"Retry-After": "1"})

    with Web() as broken:
        broken.handle("*", busy)
        run = crawler.begin(broken.url(), robots=1, out=crawler.out.with_name("other"))
        crawler.run(web.url(), robots=1)
        assert Counter(one.path for one in web.asked) == {"/robots.txt": 1, "/": 1, "/a.png": 1}
        (dead,) = crawler.end(run)
        assert {one.path for one in broken.asked} == {"/robots.txt"}
        assert len(broken.asked) == 5
        assert spaced(broken.starts(but=""), 1.0)
    assert dead["state"] == "dead"
    assert f"{broken.url('/robots.txt')} answers 503, so nothing of its host may" in dead["error"]


def test_two_workers_keep_to_the_limits_of_a_host_together(crawler: Crawler, web: Web) -> None:
    """One site that is slow, so that requests meet, and one that would be far too fast."""
    web.takes_s = 0.1
    paths = web.pages(20)
    with Web() as fast:
        fast.pages(20)
        other = Crawler(crawler.master, crawler.out.with_name("other"))
        runs = [
            crawler.begin(web.url(), robots=1, at_once=3),
            other.begin(fast.url(), robots=1, per_second=20),
        ]
        for run in runs:
            crawler.wait(run)
        assert Counter(web.paths()) == Counter(fast.paths()) == dict.fromkeys(paths, 1)
        assert web.most_at_once() <= 3
        assert spaced(fast.starts(), 1 / 20)


def test_two_workers_keep_to_the_crawl_delay_together(crawler: Crawler, web: Web) -> None:
    paths = web.pages(4)
    web.robots("User-agent: *\nCrawl-delay: 0.3\n")
    crawler.run(web.url(), robots=1)
    assert Counter(web.paths()) == dict.fromkeys(paths, 1)
    assert spaced(web.starts(), 0.3)


def test_a_host_that_asks_for_a_pause_has_it_and_then_all_goes_on(
    crawler: Crawler, web: Web
) -> None:
    paths = web.pages(10)
    said: list[float] = []

    async def busy(_: http.Request) -> http.StreamResponse:
        if len(said) < 2:
            said.append(time.monotonic())
            return http.Response(status=(429, 503)[len(said) - 1], headers={"Retry-After": "1"})
        return http.Response(body=picture("PNG", "busy"), headers={"Content-Type": "image/png"})

    del web.site.bodies["/i5-0.png"]
    web.handle("/i5-0.png", busy)
    crawler.run(web.url(), at_once=1)
    assert Counter(web.paths()) == {**dict.fromkeys(paths, 1), "/i5-0.png": 3}
    for asked_at in said:
        assert next(at for at in web.starts() if at > asked_at) > asked_at + 1.0
    assert {one.status for one in web.asked if one.path == "/i5-0.png"} == {429, 503, 200}
    assert len(crawler.rows()) == 10


# --- what means no good ---


async def circle(request: http.Request) -> http.StreamResponse:
    number = int(request.path.rpartition("/")[2])
    target = f"/far/{number + 1}" if request.path.startswith("/far") else f"/loop/{1 - number}"
    return http.Response(status=302, headers={"Location": target})


async def truncated(request: http.Request) -> http.StreamResponse:
    response = http.StreamResponse(headers={"Content-Type": "image/png", "Content-Length": "9000"})
    await response.prepare(request)
    await response.write(picture("PNG", "cut"))
    assert request.transport is not None
    request.transport.close()
    return response


async def endless(request: http.Request) -> http.StreamResponse:
    response = http.StreamResponse(headers={"Content-Type": "image/bmp"})
    await response.prepare(request)
    await response.write(picture("BMP", "endless"))
    while True:
        await response.write(b"\0" * 65536)


async def says_too_much(request: http.Request) -> http.StreamResponse:
    headers = {"Content-Type": "image/png", "Content-Length": str(5_000_000_000)}
    response = http.StreamResponse(headers=headers)
    await response.prepare(request)
    await response.write(picture("PNG", "large"))
    await asyncio.sleep(60.0)
    return response


BOMB = gzip.compress(b"\0" * 300_000_000, 9, mtime=0)


def test_whatever_a_site_does_ends_as_a_clear_letter_or_a_skip(crawler: Crawler, web: Web) -> None:
    for path in ("/loop/0", "/loop/1", *(f"/far/{number}" for number in range(12))):
        web.handle(path, circle)
    web.handle("/cut.png", truncated)
    web.handle("/endless.bmp", endless)
    web.handle("/large.png", says_too_much)
    web.put("/bomb.png", BOMB, "image/png", Content_Encoding="gzip")
    web.put("/bomb", BOMB, "text/html", Content_Encoding="gzip")
    half = gzip.compress(picture("PNG", "half"))[:-40]
    web.put("/half.png", half, "image/png", Content_Encoding="gzip")
    web.put("/lie.jpg", picture("PNG", "lie"), "image/jpeg")
    web.put("/page.jpg", b"<html><body>no</body></html>", "image/jpeg")
    web.put("/text.png", b"This is no picture.", "image/png")
    web.put("/octets", picture("PNG", "octets"), "application/octet-stream")
    web.redirect("/nowhere.png", "ftp://127.0.0.1/")
    web.redirect("/off", "http://elsewhere.test/")
    shown = ("/loop/0", "/far/0", *(path for path in web.site.bodies if path != "/bomb"),
             "/cut.png", "/endless.bmp", "/large.png", "/nowhere.png")  # fmt: skip
    linked = "".join(f'<a href="{path}">' for path in ("/bomb", "/off"))
    web.page("/", linked + "".join(f'<img src="{path}">' for path in shown))
    results = crawler.end(crawler.begin(web.url(), max_bytes=2_000_000))

    found = {path: value_of(results, path) for path in (*shown, "/bomb", "/off", "/loop/1")}
    assert "redirects in a circle: " in found["/loop/1"]
    assert found["/loop/1"].count("/loop/0") == 2
    (far,) = (one["error"] for one in results if "/far/" in (one["error"] or ""))
    assert far == f"more than 10 redirects, from {web.url('/far/0')} on"
    assert f"the body of {web.url('/cut.png')} is cut short or damaged" in found["/cut.png"]
    assert found["/half.png"].endswith("/half.png is cut short or damaged")
    assert found["/endless.bmp"] == {"skip": "too large: more than max_bytes=2000000, unpacked"}
    assert found["/bomb.png"]["skip"].startswith("no picture that is known, though")
    assert found["/bomb"] == {"skip": "too large: more than max_bytes=2000000, unpacked"}
    assert found["/large.png"] == {
        "skip": "too large: 5,000,000,000 bytes, more than max_bytes=2000000"
    }
    not_one = {"skip": "no picture that is known, though it says image/jpeg"}
    assert found["/page.jpg"] == not_one
    assert found["/text.png"]["skip"].startswith("no picture that is known, though")
    assert found["/nowhere.png"] == {"skip": "redirects to nothing that can be fetched"}
    assert found["/off"] == {"skip": "redirects off the site, to http://elsewhere.test/"}
    assert {path: row["type"] for path, row in crawler.rows().items()} == {
        "/lie.jpg": "png",
        "/octets": "png",
    }
    assert len(crawler.files()) == 2
    assert list((crawler.out / ".part").iterdir()) == []
    assert Counter(web.paths())["/cut.png"] == 5
    assert all(most < 200_000_000 for most in memory_of_slots(crawler.master).values())


def memory_of_slots(master: Master) -> dict[int, int]:
    """The most memory that the slots of its workers ever had, by process id."""
    workers = [one.popen.pid for one in master.started if "worker-" in one.log_path.name]
    found = {}
    for worker in workers:
        for child in children(worker, "worker.slot.main"):
            status = Path(f"/proc/{child}/status").read_text()
            found[child] = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024  # type: ignore[index]
    assert len(found) >= 2
    return found


def test_an_endless_calendar_ends_at_the_pages_that_were_asked_for(
    crawler: Crawler, web: Web
) -> None:
    async def day(request: http.Request) -> http.StreamResponse:
        links = "".join(f'<a href="{request.path}/{number}">' for number in range(3))
        return http.Response(text=links, content_type="text/html")

    web.handle("*", day)
    crawler.run(web.url("/day"), pages=40, depth=1000, robots=0)
    assert len(web.paths()) == len(set(web.paths())) == 40


def test_all_of_twenty_thousand_links_of_a_page_are_followed(crawler: Crawler, web: Web) -> None:
    links = [f"/{'x' * 60}{number}.png" for number in range(20_000)]
    web.page("/", "".join(f'<img src="{path}">' for path in [*links, "/last.png"]))
    web.picture("/last.png")
    results = crawler.end(crawler.begin(web.url()), 60.0)
    assert Counter(web.paths()) == dict.fromkeys(["/", *links, "/last.png"], 1)
    assert any(one["payload"]["kind"] == "links" for one in results)
    assert not any(one["error"] for one in results)
    assert set(crawler.rows()) == {"/last.png"}


# --- the user's own network ---


def test_without_private_no_address_of_the_users_network_is_asked(
    crawler: Crawler, web: Web
) -> None:
    web.page("/", "")
    hosts = (("localhost", 0), ("localhost", 1), ("[::ffff:127.0.0.1]", 0), ("2130706433", 1))
    runs = [crawler.begin(web.url(host=host), private=0, robots=on) for host, on in hosts]
    for run in runs:
        (dead,) = crawler.end(run)
        assert dead["state"] == "dead"
        assert dead["error"].endswith("private network (private=1 allows)")
    assert web.asked == []


def test_a_redirect_to_a_private_address_is_refused_where_it_leads(
    tmp_path: Path, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here 127.0.0.1 plays an address of the internet; 127.0.0.2 and localhost don't."""
    monkeypatch.setattr(guard, "is_public", lambda text: text == "127.0.0.1")
    monkeypatch.setattr(guard.ThreadedResolver, "resolve", nowhere_public)
    web.redirect("/literal.png", f"http://127.0.0.2:{web.port}/secret.png")
    web.redirect("/named.png", f"http://inside.test:{web.port}/secret.png")
    web.picture("/secret.png")

    async def visit(path: str) -> str:
        site = Site(start=web.url(), run="1", hosts=["127.0.0.1"], out=str(tmp_path), robots=False)
        visitor = Visitor(site, "here")
        try:
            payload = {"kind": "image", "url": web.url(path), "site": site.packed()}
            first = await visitor.visit(payload)
            assert isinstance(first, Result)
            (follow,) = first.follow
            with pytest.raises(Reject) as caught:
                await visitor.visit(follow.payload)
            return caught.value.reason
        finally:
            await visitor.close()

    for path, host in (("/literal.png", "127.0.0.2"), ("/named.png", "inside.test")):
        assert asyncio.run(visit(path)).startswith(f"{host} is ")
    assert web.paths() == ["/literal.png", "/named.png"]


async def nowhere_public(self: object, host: str, port: int = 0, family: int = 0) -> list[Any]:
    """What the resolver says of every name."""
    return [{"hostname": host, "host": "127.0.0.2", "port": port, "family": 2, "proto": 0,
             "flags": 0}]  # fmt: skip


# --- what is killed ---


def test_nothing_is_lost_half_or_fetched_again_when_worker_and_master_are_killed(
    start_master: Callable[..., Master], tmp_path: Path, web: Web
) -> None:
    paths = web.pages(40, pictures=3)
    master = start_master(JOBS_FOLDER=JOBS)
    crawler = Crawler(master, tmp_path / "out")
    first = master.worker(WORKER_SLOTS="1")
    web.hold_after(60)
    run = crawler.begin(web.url(), at_once=8)

    def recorded() -> set[str]:
        """The paths whose results are on disk."""
        ended = (one for one in master.results(run) if one["state"] == "done")
        return {path_of(one["payload"]["url"]) for one in ended}

    eventually(lambda: int(master.run_line(run)["done"]) >= 50, 20.0, "half of it")
    before = recorded()
    assert 50 <= len(before) <= 60
    first.kill()
    second = master.worker(WORKER_SLOTS="1")
    web.hold_after(40)
    eventually(lambda: int(master.run_line(run)["done"]) >= 90, 20.0, "more of it")
    before_master = recorded()
    asked = len(web.asked)
    master.process.kill()
    master.serve()
    web.release()
    crawler.end(run)
    assert second.popen.poll() is None

    fetched = Counter(web.paths())
    assert set(fetched) == paths
    assert all(fetched[path] == 1 for path in before), "a recorded one was fetched again"
    again = {one.path for one in web.asked[asked:]}
    assert not again & before_master
    assert set(crawler.rows()) == {path for path in paths if path.endswith(".png")}
    assert crawler.files() == {row["file"] for row in crawler.rows().values()}
    assert len(crawler.files()) == 120


# --- what the user asks for ---


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["start=foo"], "argument 'start' is an address, http://..., not 'foo'"),
        (["start=http://a/", "types=xyz"], "argument 'types' is a list with commas between them"),
        (["start=http://a/", "pages=0"], "argument 'pages' is a whole number, 1 or more, not '0'"),
        (["start=http://a/", "page=3"], "unknown argument 'page' (did you mean pages?)"),
        ([], "missing argument 'start': give start=…"),
    ],
)
def test_a_wrong_argument_is_one_clear_line_at_submit(
    shared: Master, words: list[str], says: str
) -> None:
    assert says in shared.command("submit", "images", *words).refusal


def test_and_at_run(place: Place) -> None:
    ended = place.command("run", "images", "start=foo", JOBS_FOLDER=JOBS)
    assert ended.code == 2
    last = ended.err.splitlines()[-1]
    assert last == "qm: argument 'start' is an address, http://..., not 'foo'"
