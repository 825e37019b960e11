"""The job `images` on a real site: what it finds beside `wget --mirror`, and what kills change."""

from __future__ import annotations

import itertools
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import awks_counts

from .manual import SLOW, Manual, Request, most_at_once, most_starts, pictures, running, stored

PLAINLY = ("at_once=0", "per_second=0", "robots=0")
AT_ONCE, PER_SECOND = 6, 100
KILL_S = 2.0
WINDOW_S = 1.0

# What `wget --mirror` stores under a picture's name and the crawl does not, and why.
LEFT_OUT = {
    "images/fonts/questrial-v6-latin-regular.svg": "a font: style sheets name it in @font-face",
}
# The other way round: this site has no srcset, and wget reads style sheets, too.
FOUND_BESIDES: dict[str, str] = {}


@pytest.fixture(scope="module")
def manual(clone: Path, docker_setup: list[str]) -> Iterator[Manual]:
    with running(clone) as found:
        yield found


@pytest.fixture(scope="module")
def plain(manual: Manual) -> dict[str, str]:
    """The files of a crawl that nobody disturbs."""
    manual.crawl("plain", *PLAINLY)
    return manual.files("plain")


def test_the_set_is_that_of_wget_and_each_difference_has_its_reason(
    manual: Manual, plain: dict[str, str]
) -> None:
    theirs, ours = pictures(manual.mirror()), stored(plain)
    assert len(ours) > 1_500
    assert {theirs[digest] for digest in theirs.keys() - ours.keys()} == set(LEFT_OUT)
    assert {ours[digest] for digest in ours.keys() - theirs.keys()} == set(FOUND_BESIDES)


def test_each_file_is_what_its_name_says(plain: dict[str, str]) -> None:
    ours = stored(plain)
    assert {digest: plain[path] for digest, path in ours.items()} == {d: d for d in ours}


def test_kills_change_nothing_and_the_host_is_never_asked_too_much(
    manual: Manual, plain: dict[str, str]
) -> None:
    """A worker is killed every two seconds, and the master once, over a slow line."""
    since = time.time()
    limits = (f"at_once={AT_ONCE}", f"per_second={PER_SECOND}")
    manual.crawl("killed", *limits, start=SLOW, wait=False)
    kills, over = [0], threading.Event()
    killing = threading.Thread(target=_kill, args=(manual, kills, over))
    killing.start()
    try:
        _wait_for(manual, "killed", *limits)
    finally:
        over.set()
        killing.join()
    assert kills[0] >= 5  # workers; the master, too

    files = manual.files("killed")
    ours = stored(files)
    assert ours.keys() == stored(plain).keys()
    assert all(files[path] == digest for digest, path in ours.items())
    strange = {p for p in files if p not in ours.values()}
    assert {p for p in strange if not p.startswith((".", "thumbs/", "index"))} == set()

    requests = manual.requests(since)
    again = {path: n - 1 for path, n in Counter(r.path for r in requests).items() if n > 1}
    print(
        f"{kills[0]} workers killed, and the master: {len(requests):,} requests, of which"
        f" {sum(again.values())} once more, {most_at_once(requests)} at once,"
        f" {most_starts(requests, WINDOW_S)} started within {WINDOW_S:g} s; {len(ours):,} files"
    )
    _check_limits(requests)
    # Only what was leased at a kill, or had ended and was not yet reported, is asked for again.
    assert sum(again.values()) <= (kills[0] + 1) * AT_ONCE, again


def test_the_web_servers_own_log_of_all_that_is_counted_as_awk_counts_it(
    manual: Manual, plain: dict[str, str], tmp_path: Path
) -> None:
    """After the other tests it has wget's requests, too, and those that a kill cut off."""
    log = manual.log()
    (tmp_path / "access.log").write_text(log)
    truth = awks_counts.counts([tmp_path / "access.log"])
    data = manual.count(log, "counted", f"by={','.join(awks_counts.LISTS)}", "top=100000")
    total = {name: count for name, (count, _) in truth.pop("total").items()}
    assert total["lines"] > len(plain) > 1_500
    assert (data["lines"], data["unparsable"]) == (total["lines"], total["odd"])
    assert (data["bytes"], data["visitors"]) == (total["bytes"], total["clients"])
    found = {
        name: {row["value"]: (row["requests"], row["bytes"]) for row in rows["rows"]}
        for name, rows in data["lists"].items()
    }
    assert found == truth


def _kill(manual: Manual, kills: list[int], over: threading.Event) -> None:
    for number in itertools.count():
        if over.wait(KILL_S):
            return
        manual.kill("worker", number)
        kills[0] += 1
        if number == 3:
            manual.kill("master", 0)


def _wait_for(manual: Manual, name: str, *limits: str) -> None:
    """Wait for the run, also while the master is away with the command that waits in it."""
    deadline = time.monotonic() + 250.0
    while True:
        try:
            manual.crawl(name, *limits, start=SLOW)
            return
        except (AssertionError, subprocess.TimeoutExpired):
            assert time.monotonic() < deadline
            time.sleep(0.5)


def _check_limits(requests: list[Request]) -> None:
    """By the web server's own log.

    A request that was leased in time may arrive late; of those that have not arrived there are
    never more than at_once. One that is not whole is one whose worker was killed: nobody waits for
    it any more, which the server may notice a while later.
    """
    assert most_at_once([r for r in requests if r.whole]) <= AT_ONCE
    assert most_starts(requests, WINDOW_S) <= WINDOW_S * PER_SECOND + 1 + AT_ONCE
