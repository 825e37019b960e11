"""The arguments of a crawl: what is wrong with one is said before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.crawl.asked import Hosts, Start, Types
from jobs.crawl.look.kinds import TYPES
from jobs.crawl.site import Site, unpacked
from jobs.images import tasks
from queue_manager.errors import ArgumentError
from queue_manager.job.arguments import parse_arguments

START = "start=http://site.test/"


def site_of(folder: Path, *words: str) -> Site:
    """The settings of a crawl that was asked for by words."""
    (task,) = tasks(**parse_arguments([START, f"out={folder}", *words], tasks))
    assert task.payload["kind"] == "page"
    return unpacked(task.payload["site"])


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("start=foo", "an address, http://..., not 'foo'"),
        ("start=", "an address, http://..., not ''"),
        ("start=ftp://site.test/", "an address, http://..., not 'ftp://site.test/'"),
        ("start=http://a b/", "an address, http://..., not 'http://a b/'"),
        ("hosts=a,b^c", "a list of hosts with commas between them, or *, not 'a,b^c'"),
        ("types=png,xyz", f"a list with commas between them, of {', '.join(TYPES)}, not 'png,xyz'"),
        ("pages=0", "a whole number, 1 or more, not '0'"),
        ("pages=many", "a whole number, 1 or more, not 'many'"),
        ("depth=-1", "a whole number, 0 or more, not '-1'"),
        ("per_second=-1", "a number, 0 or more, not '-1'"),
        ("per_second=fast", "a number, 0 or more, not 'fast'"),
        ("per_second=nan", "a number, 0 or more, not 'nan'"),
        ("private=maybe", "true or false, not 'maybe'"),
        ("index=xml", "one of jsonl, csv, sqlite, not 'xml'"),
    ],
)
def test_a_wrong_argument_is_one_clear_line(word: str, says: str) -> None:
    words = [word] if word.startswith("start=") else [START, word]
    with pytest.raises(ArgumentError) as caught:
        parse_arguments(words, tasks)
    assert str(caught.value) == f"argument {word.partition('=')[0]!r} is {says}"


def test_an_unknown_argument_is_told_with_the_one_that_was_meant() -> None:
    with pytest.raises(ArgumentError, match=r"unknown argument 'page' \(did you mean pages\?\)"):
        parse_arguments([START, "page=3"], tasks)
    with pytest.raises(ArgumentError, match="missing argument 'start': give start=…"):
        parse_arguments([], tasks)


def test_the_start_is_normalized() -> None:
    assert Start("HTTP://Site.test/%7ea#b") == "http://site.test/~a"


def test_hosts_are_names_or_addresses(tmp_path: Path) -> None:
    assert Hosts("WWW.site.test, https://b.test/x,*").names() == ["www.site.test", "b.test", "*"]
    assert site_of(tmp_path, "hosts=b.test,site.test").hosts == ["site.test", "b.test"]
    assert site_of(tmp_path).hosts == ["site.test"]


def test_types_have_other_names_too(tmp_path: Path) -> None:
    assert Types("JPEG, tif png").names() == ["jpg", "tiff", "png"]
    assert site_of(tmp_path, "types=jpeg").types == ["jpg"]


def test_the_settings_reach_the_tasks(tmp_path: Path) -> None:
    words = ["pages=3", "depth=0", "at_once=1", "per_second=0.5", "robots=no", "private=1"]
    asked = site_of(tmp_path, *words, "max_bytes=7", "user_agent=me")
    assert asked.out == str(tmp_path)
    names = ("pages", "depth", "at_once", "per_second", "robots", "private", "max_bytes")
    assert [getattr(asked, name) for name in names] == [3, 0, 1, 0.5, False, True, 7]
    assert asked.user_agent == "me"
