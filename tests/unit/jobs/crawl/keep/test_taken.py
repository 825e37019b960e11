"""The count of bytes that one run has stored in one folder."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from jobs.crawl.keep.taken import FOLDER, Taken


def test_the_one_that_fills_it_is_stored_and_then_none(tmp_path: Path) -> None:
    one, other = Taken(tmp_path, "1", 100), Taken(tmp_path, "1", 100)
    assert [one.add(60), other.is_full(), other.add(60), one.is_full()] == [True, False, True, True]
    assert not one.add(1)
    assert not other.add(0)


def test_another_run_and_another_folder_have_their_own(tmp_path: Path) -> None:
    assert Taken(tmp_path, "1", 1).add(5)
    assert not Taken(tmp_path, "2", 1).is_full()
    assert not Taken(tmp_path / "b", "1", 1).is_full()


def test_without_a_limit_there_is_no_file(tmp_path: Path) -> None:
    taken = Taken(tmp_path, "../1", 0)
    assert taken.add(10**9)
    assert not taken.is_full()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damaged", [b"", b"\0" * 20, b"x"])
def test_a_file_that_holds_no_number_counts_from_nothing(tmp_path: Path, damaged: bytes) -> None:
    taken = Taken(tmp_path, "1", 100)
    assert taken.add(1)
    (path,) = (tmp_path / FOLDER).iterdir()
    path.write_bytes(damaged)
    assert not taken.is_full()
    assert taken.add(100)
    assert taken.is_full()


def _add(folder: Path, most: int, stored: multiprocessing.Queue[int]) -> None:
    taken, count = Taken(folder, "1", most), 0
    while taken.add(1):
        count += 1
    stored.put(count)


def test_processes_that_share_it_lose_no_byte(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    stored: multiprocessing.Queue[int] = context.Queue()
    makers = [context.Process(target=_add, args=(tmp_path, 2000, stored)) for _ in range(3)]
    for maker in makers:
        maker.start()
    counts = [stored.get(timeout=60) for _ in makers]
    for maker in makers:
        maker.join(60)
    assert sum(counts) == 2000
