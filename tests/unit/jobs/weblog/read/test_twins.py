"""A log that is there twice, as itself and packed, counts once and whole."""

from __future__ import annotations

import gzip
import os
import time
import zipfile
from pathlib import Path

import pytest

from jobs.logs import OPTIONS
from jobs.weblog.show.report import Report
from queue_manager import Reject, Retry
from tests.unit.jobs.weblog.logs_made import many, run

TEXT = "".join(f"{each}\n" for each in many(100)).encode()
LINES = TEXT.splitlines(keepends=True)
PACKED = gzip.compress(TEXT)
HOUR_S = 3600.0


def aged(path: Path, age_s: float) -> None:
    """Make a file look as if it was written to so long ago."""
    then = time.time() - age_s
    os.utime(path, (then, then))


def twins(folder: Path, packed: bytes, age_s: float) -> Path:
    """A log, and beside it a packed one of that age."""
    (folder / "access.log.1").write_bytes(TEXT)
    path = folder / "access.log.1.gz"
    path.write_bytes(packed)
    aged(path, age_s)
    return folder / "access*"


@pytest.mark.parametrize("part", [0, 5, 200, 10_000])
def test_while_a_log_is_being_packed_nothing_is_counted_twice(tmp_path: Path, part: int) -> None:
    pattern = twins(tmp_path, PACKED[:part], age_s=1)
    with pytest.raises(Retry, match=r"access\.log\.1\.gz is being packed"):
        run([pattern])
    (tmp_path / "access.log.1.gz").write_bytes(PACKED)
    (tmp_path / "access.log.1").unlink()
    assert run([pattern]).summary.lines == 100


def test_a_log_that_lies_packed_beside_itself_counts_once(tmp_path: Path) -> None:
    found = run([twins(tmp_path, PACKED, age_s=3600)])
    assert (found.files, found.summary.lines) == (1, 100)


@pytest.mark.parametrize("text", [b"", b"".join(TEXT.splitlines(keepends=True)[1:])])
def test_another_packed_log_of_that_name_counts_too(tmp_path: Path, text: bytes) -> None:
    pattern = twins(tmp_path, PACKED, age_s=1)
    (tmp_path / "access.log.1").write_bytes(text)
    found = run([pattern])
    assert (found.files, found.summary.lines) == (2, 100 + text.count(b"\n"))


def half_there(folder: Path, age_s: float) -> Path:
    """A packed log of long ago, and a part of its lines beside it, of that age."""
    pattern = twins(folder, PACKED, age_s=HOUR_S)
    (folder / "access.log.1").write_bytes(TEXT[: len(TEXT) // 3])
    aged(folder / "access.log.1", age_s)
    return pattern


def test_while_a_log_is_being_unpacked_no_line_is_lost(tmp_path: Path) -> None:
    pattern = half_there(tmp_path, age_s=1)
    told = r"access\.log\.1 is being unpacked: .*/access\.log\.1\.gz has more lines$"
    with pytest.raises(Retry, match=told):
        run([pattern])


def test_a_log_of_which_a_part_was_unpacked_counts_whole(tmp_path: Path) -> None:
    found = run([half_there(tmp_path, age_s=HOUR_S)])
    assert (found.files, found.summary.lines) == (1, 100)


def test_a_log_that_has_grown_since_it_was_packed_counts_at_once(tmp_path: Path) -> None:
    pattern = twins(tmp_path, gzip.compress(b"".join(LINES[:60])), age_s=HOUR_S)
    found = run([pattern])
    assert (found.files, found.summary.lines) == (1, 100)


@pytest.mark.parametrize("lines", [50, 99, 100])
def test_a_packed_log_with_the_same_beginning_and_other_lines_counts_too(
    tmp_path: Path, lines: int
) -> None:
    pattern = twins(tmp_path, PACKED, age_s=HOUR_S)
    (tmp_path / "access.log.1").write_bytes(b"".join([*LINES[: lines - 1], LINES[0]]))
    found = run([pattern])
    assert (found.files, found.summary.lines) == (2, 100 + lines)


def test_a_packed_log_that_was_cut_off_long_ago_does_not_count_beside_the_whole_one(
    tmp_path: Path,
) -> None:
    found = run([twins(tmp_path, PACKED[:300], age_s=HOUR_S)])
    assert (found.files, found.summary.lines) == (1, 100)


def test_a_zip_file_beside_its_log_is_refused_in_one_line(tmp_path: Path) -> None:
    pattern = twins(tmp_path, b"", age_s=HOUR_S)
    with zipfile.ZipFile(tmp_path / "access.log.1.gz", "w") as file:
        file.writestr("access.log.1", TEXT)
    with pytest.raises(Reject, match=r"access\.log\.1\.gz is packed by zip, not by one of"):
        run([pattern])


def patient(pattern: Path, packs_for_s: float = 0.0) -> Report:
    """The run over two files as a worker tries it, with pauses in which the files get older.

    Args:
        packs_for_s: seconds until a program has packed the log and removes it. 0: it keeps both.
    """
    plain, packed = (pattern.parent / name for name in ("access.log.1", "access.log.1.gz"))
    passed_s = 0.0
    for _ in range(OPTIONS.attempts or 3):
        try:
            return run([pattern])
        except Retry as error:
            pause_s = error.delay_s or 0.0
            passed_s += pause_s
            aged(packed, time.time() - packed.stat().st_mtime + pause_s)
        if packs_for_s:
            if passed_s >= packs_for_s:
                packed.write_bytes(PACKED)
                plain.unlink()
                packs_for_s = 0.0
            else:
                aged(packed, 0)
    raise AssertionError(f"a dead letter after {passed_s} s")


@pytest.mark.parametrize("age_s", [0, 19, 41, 59, -59, -HOUR_S])
def test_where_a_program_keeps_both_files_the_run_goes_on_after_a_minute(
    tmp_path: Path, age_s: float
) -> None:
    assert patient(twins(tmp_path, PACKED, age_s)).summary.lines == 100


def test_the_run_waits_for_minutes_while_a_large_log_is_being_packed(tmp_path: Path) -> None:
    pattern = twins(tmp_path, PACKED[:100], age_s=0)
    assert patient(pattern, packs_for_s=240).summary.lines == 100


def test_the_pause_ends_when_the_file_is_old_enough(tmp_path: Path) -> None:
    pattern = twins(tmp_path, PACKED, age_s=50)
    with pytest.raises(Retry) as caught:
        run([pattern])
    assert caught.value.delay_s is not None
    assert 5 < caught.value.delay_s <= 11
