"""The index: what is where, over all runs in a folder."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from jobs.crawl.keep.indexing import (
    COLUMNS,
    DATABASE,
    files_of,
    known,
    opened,
    sums,
    write_index,
)
from jobs.crawl.site import Site

START = "http://site.test/"
MakeSite = Callable[..., Site]
Pair = tuple[dict[str, Any], dict[str, Any]]


def page(site: Site, url: str = START, depth: int = 0, **result: Any) -> Pair:
    payload = {"kind": "page", "url": url, "site": site.packed(), "page": "", "depth": depth}
    return payload, {"page": 1, "bytes": 100, "etag": f'"{url}"', **result}


def image(site: Site, name: str, file: str = "", on: str = START, **result: Any) -> Pair:
    payload = {
        "kind": "image", "url": START + name, "site": site.packed(), "page": on, "depth": 1,
        "alt": f"alt of {name}",
    }  # fmt: skip
    file = file or f"ab/{name}"
    what = {"file": file, "type": "png", "bytes": 10, "width": 4, "height": 3, "host": "here"}
    return payload, {**what, "etag": f'"{name}"', **result}


def leads(site: Site, name: str, target: str, kind: str = "image") -> Pair:
    payload, _ = image(site, name)
    return {**payload, "kind": kind}, {"redirect": START + target}


def skipped(pair: Pair, why: str = "status 404") -> Pair:
    return pair[0], {"skip": why}


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "index.jsonl").read_text("utf-8").splitlines()]


def names(folder: Path) -> list[str]:
    return [row["address"].removeprefix(START) for row in rows(folder)]


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Writes the index of a run: `write(pair, pair, form="csv", whole=False)`."""

    def made(*pairs: Pair, form: str = "jsonl", whole: bool = True) -> str:
        return write_index(str(tmp_path), pairs, form, whole=whole)

    yield made
    assert list((tmp_path / ".part").iterdir()) == []


Write = Callable[..., str]


def test_each_picture_has_a_row(tmp_path: Path, site: MakeSite, write: Write) -> None:
    said = write(page(site()), image(site(), "b.png"), image(site(), "ä.png", "cd/e.png"))
    assert said == f"2 images in 2 files of 20 B: {tmp_path / 'index.jsonl'}"
    assert rows(tmp_path)[0] == {
        "address": START + "b.png", "page": START, "file": "ab/b.png", "type": "png", "bytes": 10,
        "width": 4, "height": 3, "alt": "alt of b.png", "host": "here",
    }  # fmt: skip
    assert list(rows(tmp_path)[0]) == list(COLUMNS)
    assert "ä.png" in (tmp_path / "index.jsonl").read_text("utf-8")


def test_the_same_picture_under_two_addresses_is_one_file_and_two_rows(
    tmp_path: Path, site: MakeSite, write: Write
) -> None:
    said = write(image(site(), "b.png", "ab/x.png"), image(site(), "a.png", "ab/x.png"))
    assert said.startswith("2 images in 1 files of 10 B")
    assert names(tmp_path) == ["a.png", "b.png"]
    with closing(opened(tmp_path)) as db:
        assert sums(db)[0] == 1
        ((address, *_),) = files_of(db)
    assert address == START + "a.png"


def test_what_is_no_picture_has_no_row(tmp_path: Path, site: MakeSite, write: Write) -> None:
    robots = (image(site(), "x.png")[0], {"robots": "site.test"})
    parcel = ({"kind": "links", "url": START, "site": site().packed()}, {"links": 3})
    is_page = (image(site(), "y.png")[0], {"is": "a page"})
    write(page(site()), robots, parcel, is_page, skipped(image(site(), "z.png")))
    assert rows(tmp_path) == []


@pytest.mark.parametrize("kind", ["long", "sitemap"])
def test_what_a_run_finds_anew_is_not_asked_for_by_the_next(
    tmp_path: Path, site: MakeSite, write: Write, kind: str
) -> None:
    payload, skip = skipped(image(site(), "x"))
    write(page(site()), ({**payload, "kind": kind}, skip))
    assert [one["url"] for one in known(site())] == [START]


def test_an_address_that_redirects_to_a_picture_has_a_row_too(
    tmp_path: Path, site: MakeSite, write: Write
) -> None:
    write(
        leads(site(), "a.png", "b.png"),
        leads(site(), "b.png", "c.png"),
        image(site(), "c.png"),
        leads(site(), "to-nothing.png", "gone.png"),
        leads(site(), "circle.png", "circle.png"),
    )
    assert names(tmp_path) == ["a.png", "b.png", "c.png"]
    assert {row["file"] for row in rows(tmp_path)} == {"ab/c.png"}
    assert rows(tmp_path)[0]["alt"] == "alt of a.png"


def test_a_page_that_redirects_to_a_page_has_none(
    tmp_path: Path, site: MakeSite, write: Write
) -> None:
    write(leads(site(), "a", "b", "page"), page(site(), START + "b"))
    assert rows(tmp_path) == []


def test_a_second_run_replaces_what_it_has_found_and_keeps_the_rest(
    tmp_path: Path, site: MakeSite, write: Write
) -> None:
    first, second = site(run="1"), site(run="2")
    write(*(image(first, name) for name in ("same.png", "new.png", "gone.png", "dead.png")))
    write(
        image(second, "same.png", unchanged=True),
        image(second, "new.png", "cd/new.png"),
        skipped(image(second, "gone.png")),
    )
    assert {row["address"].removeprefix(START): row["file"] for row in rows(tmp_path)} == {
        "same.png": "ab/same.png",
        "new.png": "cd/new.png",
        "dead.png": "ab/dead.png",  # a dead letter: perhaps the next run has more luck
    }


def test_a_run_that_fails_in_mid_index_leaves_the_one_before(
    tmp_path: Path, site: MakeSite, write: Write
) -> None:
    write(image(site(), "a.png"))
    before = (tmp_path / "index.jsonl").read_bytes(), (tmp_path / DATABASE).read_bytes()

    def results() -> Iterator[Pair]:
        yield image(site(), "b.png")
        raise RuntimeError("the runner was killed")

    with pytest.raises(RuntimeError):
        write_index(str(tmp_path), results(), "jsonl", whole=True)
    assert ((tmp_path / "index.jsonl").read_bytes(), (tmp_path / DATABASE).read_bytes()) == before
    for left in (tmp_path / ".part").iterdir():
        left.unlink()


def test_an_index_as_csv(tmp_path: Path, site: MakeSite, write: Write) -> None:
    payload, result = image(site(), "a.png")
    said = write(({**payload, "alt": 'says "ä",\nthen'}, {**result, "width": None}), form="csv")
    assert said.endswith("index.csv")
    with (tmp_path / "index.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert tuple(row) == COLUMNS
    assert (row["alt"], row["width"], row["bytes"]) == ('says "ä",\nthen', "", "10")


def test_an_index_as_sqlite_again_and_again(tmp_path: Path, site: MakeSite, write: Write) -> None:
    for _ in range(2):
        write(image(site(), "a.png"), image(site(), "b.png"), form="sqlite")
    with closing(sqlite3.connect(tmp_path / "index.sqlite")) as db:
        found = db.execute("SELECT address, bytes FROM images ORDER BY address").fetchall()
    assert found == [(START + "a.png", 10), (START + "b.png", 10)]


def test_without_a_crawl_there_is_no_index(tmp_path: Path, site: MakeSite) -> None:
    with pytest.raises(FileNotFoundError, match="no crawl has ended there"):
        opened(tmp_path)
    assert list(known(site())) == []
    assert list(tmp_path.iterdir()) == []


# --- what a second run knows ---


def test_a_second_run_asks_for_all_that_the_first_has_found(site: MakeSite, write: Write) -> None:
    dead = skipped(image(site(), "gone.png"))
    write(page(site()), image(site(), "a.png"), leads(site(), "b.png", "a.png"), dead)
    found = {payload["url"].removeprefix(START): payload for payload in known(site())}
    assert set(found) == {"", "a.png", "b.png", "gone.png"}
    assert found["a.png"] == {
        "site": site().packed(), "kind": "image", "url": START + "a.png", "page": START, "depth": 1,
        "alt": "alt of a.png",
        "known": {"file": "ab/a.png", "type": "png", "bytes": 10, "width": 4, "height": 3,
                  "host": "here", "etag": '"a.png"'},
    }  # fmt: skip
    assert found[""]["known"] == {"bytes": 100, "etag": f'"{START}"'}


@pytest.mark.parametrize(
    "changed",
    [{"pages": 5}, {"depth": 1}, {"hosts": ["site.test", "*"]}, {"robots": False},
     {"types": ["png"]}, {"max_bytes": 1000}],
)  # fmt: skip
def test_pages_are_asked_for_in_full_when_something_else_is_wanted(
    site: MakeSite, write: Write, changed: dict[str, Any]
) -> None:
    write(page(site()), image(site(), "a.png"))
    assert all("known" in payload for payload in known(site(run="2", user_agent="other")))
    again = {payload["kind"]: payload for payload in known(site(**changed))}
    assert "known" not in again["page"]
    assert "known" in again["image"]


def test_pages_are_asked_for_in_full_after_a_run_that_was_not_whole(
    site: MakeSite, write: Write
) -> None:
    write(page(site()), image(site(), "a.png"), whole=False)
    again = {payload["kind"]: payload for payload in known(site())}
    assert "known" not in again["page"]
    assert "known" in again["image"]
    write(page(site(), unchanged=True), image(site(), "a.png"), whole=True)
    assert all("known" in payload for payload in known(site()))


def test_of_another_start_nothing_is_known(site: MakeSite, write: Write) -> None:
    write(page(site()), image(site(), "a.png"))
    assert list(known(site(start="http://other.test/"))) == []


def test_the_start_comes_first_for_the_quota_must_not_take_it_away(
    site: MakeSite, write: Write
) -> None:
    settings = site(start=START + "start")
    urls = [START + name for name in ("a", "start", "z")]
    write(image(settings, "a.png"), *(page(settings, url) for url in urls))
    again = [payload["url"] for payload in known(settings)]
    assert again[0] == START + "start"
    assert sorted(again) == [START + name for name in ("a", "a.png", "start", "z")]


def test_pages_of_the_host_that_the_start_leads_to_are_still_the_sites(
    site: MakeSite, write: Write
) -> None:
    first = site()
    payload, _ = page(first)
    www = "http://www.site.test/"
    write((payload, {"redirect": www}), page(first, www), image(first, "a.png"))
    for again in known(site(run="2")):
        # The start's own say what was asked for, by which a third run sees if that has changed.
        more = [] if again["url"] == START else ["www.site.test"]
        assert again["site"] == site(run="2", hosts=["site.test", *more]).packed()


def test_a_page_that_leads_elsewhere_by_itself_still_does_when_it_has_not_changed(
    site: MakeSite, write: Write
) -> None:
    www = "http://www.site.test/"
    start = page(site(), refresh=www)
    for run in ("1", "2"):
        write(start, page(site(run=run), www), image(site(run=run), "a.png"))
        payloads = list(known(site(run=f"{run}+")))
        assert payloads[0]["url"] == START
        assert payloads[0]["known"]["refresh"] == www
        assert all(
            one["site"] == site(run=f"{run}+", hosts=["site.test", "www.site.test"]).packed()
            for one in payloads[1:]
        )
        start = ({**start[0], "site": site(run="2").packed()},
                 {"page": 0, **payloads[0]["known"], "unchanged": True})  # fmt: skip


def test_what_an_older_run_knew_of_a_picture_is_not_what_a_skip_knows(
    site: MakeSite, write: Write
) -> None:
    write(page(site()), image(site(), "a.png"))
    write(page(site()), skipped(image(site(), "a.png")))
    (again,) = [payload for payload in known(site()) if payload["kind"] == "image"]
    assert again["known"] == {}


def test_one_bad_row_costs_no_other(
    tmp_path: Path, site: MakeSite, write: Callable[..., str]
) -> None:
    bad = [
        image(site(), "half.png", etag='"\udcff"'),
        image(site(), "large.png", width=2**70),
        ({"kind": "image"}, {"file": "x"}),
    ]
    said = write(image(site(), "a.png"), *bad, image(site(), "b.png"))
    assert names(tmp_path) == ["a.png", "b.png"]
    assert "(3 results could not be written and are left out)" in said


def test_no_cell_of_a_csv_is_a_formula(
    tmp_path: Path, site: MakeSite, write: Callable[..., str]
) -> None:
    texts = ["=1+1", "+1", "-1", "@a", "\t=1", "plain"]
    pairs = [image(site(), f"{number}.png") for number in range(len(texts))]
    for (payload, _), text in zip(pairs, texts, strict=True):
        payload["alt"] = text
    write(*pairs, form="csv")
    with (tmp_path / "index.csv").open(newline="", encoding="utf-8") as file:
        assert [row["alt"] for row in csv.DictReader(file)] == [f"'{t}" for t in texts[:5]] + [
            "plain"
        ]
