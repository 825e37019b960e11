"""Whole runs over files: every line counted once, equal to what awk counts."""

from __future__ import annotations

import gzip
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
import zstandard

from jobs.weblog import work
from queue_manager import Reject
from tests.unit.jobs.weblog.logs_made import asked, counts, line, many, run

AWK = r"""
{ split($0, part, "\""); split(part[2], request, " "); split(part[3], end, " ")
  print "status", end[1]; print "path", request[2]; print "client", $1; sum += end[2] }
END { print "bytes", sum }
"""


def write(path: Path, lines: list[str], end: str = "\n") -> Path:
    path.write_text("".join(text + end for text in lines), newline="")
    return path


@pytest.mark.parametrize("size", [997, 50_000, 10_000_000])
def test_the_counts_are_those_of_awk(tmp_path: Path, size: int) -> None:
    path = write(tmp_path / "access.log", many(5000))
    program = ["awk", AWK, str(path)]
    told = subprocess.run(program, capture_output=True, text=True, check=True, timeout=60)
    expected: dict[str, dict[str, int]] = {"status": {}, "path": {}, "client": {}}
    for name, value in (text.split() for text in told.stdout.splitlines()):
        if name == "bytes":
            total = int(float(value))
        else:
            expected[name][value] = expected[name].get(value, 0) + 1
    report = run([path], range_bytes=size)
    assert report.summary.size == total
    for name, found in expected.items():
        assert counts(report, name) == found


def test_what_is_packed_counts_like_what_is_not(tmp_path: Path) -> None:
    lines = many(3000)
    text = "".join(f"{each}\n" for each in lines).encode()
    write(tmp_path / "a.log", lines)
    half = len(text) // 2  # within a line, and two members or frames
    (tmp_path / "b.gz").write_bytes(gzip.compress(text[:half]) + gzip.compress(text[half:]))
    packer = zstandard.ZstdCompressor()
    (tmp_path / "c.zst").write_bytes(packer.compress(text[:half]) + packer.compress(text[half:]))
    (tmp_path / "d.zst").write_bytes(seekable(text, 10_000))
    plain = run([tmp_path / "a.log"])
    for name in ("b.gz", "c.zst", "d.zst"):
        report = run([tmp_path / name], range_bytes=30_001)
        for which in ("status", "path", "client", "hour"):
            assert counts(report, which) == counts(plain, which), name
    assert run([tmp_path / "d.zst"], range_bytes=30_001).planned > 5


def seekable(text: bytes, size: int) -> bytes:
    """The text as a seekable zstd file, with frames of `size` unpacked bytes."""
    packer = zstandard.ZstdCompressor()
    parts = [text[start : start + size] for start in range(0, len(text), size)]
    frames = [packer.compress(part) for part in parts]
    table = b"".join(
        struct.pack("<II", len(frame), len(part)) for frame, part in zip(frames, parts, strict=True)
    )
    head = struct.pack("<II", 0x184D2A5E, len(table) + 9)
    return b"".join(frames) + head + table + struct.pack("<IBI", len(frames), 0, 0x8F92EAB1)


def test_a_file_that_was_rotated_away_is_found_by_its_number(tmp_path: Path) -> None:
    path = write(tmp_path / "access.log", many(100))
    plan = work.plan_run({"patterns": [str(path)], "asked": asked().packed()})
    path.rename(tmp_path / "older-1")
    write(path, many(5000, seed=2))
    (task,) = plan.follow
    assert work.count_range(task.payload)["lines"] == 100


def test_a_file_that_was_copied_and_cut_is_found_by_its_beginning(tmp_path: Path) -> None:
    path = write(tmp_path / "access.log", many(100))
    plan = work.plan_run({"patterns": [str(path)], "asked": asked().packed()})
    shutil.copy(path, tmp_path / "access.log.1")
    os.truncate(path, 0)
    (task,) = plan.follow
    assert work.count_range(task.payload)["lines"] == 100


def test_a_file_that_is_gone_is_a_failure_that_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "access.log", many(100))
    plan = work.plan_run({"patterns": [str(path)], "asked": asked().packed()})
    write(path, many(500, seed=2))
    (task,) = plan.follow
    with pytest.raises(Reject, match="rotated away, removed or cut"):
        work.count_range(task.payload)


def test_a_file_that_grows_counts_as_it_was_when_the_run_began(tmp_path: Path) -> None:
    path = write(tmp_path / "access.log", many(100))
    plan = work.plan_run({"patterns": [str(path)], "asked": asked(range_bytes=999).packed()})
    with path.open("a") as file:
        file.write("".join(f"{each}\n" for each in many(50, seed=3)))
    assert sum(work.count_range(task.payload)["lines"] for task in plan.follow) == 100


def test_a_file_under_two_names_counts_once(tmp_path: Path) -> None:
    path = write(tmp_path / "access.log", many(10))
    (tmp_path / "access.link").symlink_to(path)
    os.link(path, tmp_path / "access.same")
    assert run([tmp_path / "access*"]).summary.lines == 10


def test_a_pattern_that_no_file_matches_is_a_failure_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(Reject, match=r"no file matches .*nothing\*"):
        run([tmp_path / "nothing*"])


def test_a_large_file_is_spread_by_several_tasks(tmp_path: Path) -> None:
    path = write(tmp_path / "access.log", many(300))
    report = run([path], range_bytes=20)
    assert report.planned > 1000
    assert (report.summary.requests, report.missing) == (300, "")


def test_only_requests_of_the_time_that_is_asked_for_count(tmp_path: Path) -> None:
    times = [
        "01/Oct/2025:12:59:59 +0000",
        "01/Oct/2025:15:00:00 +0200",
        "01/Oct/2025:14:00:00 +0000",
    ]
    path = write(tmp_path / "access.log", [line(time=time) for time in times])
    report = run([path], since=1759323600.0, until=1759327200.0)  # 13 to 14 o'clock
    assert (report.summary.lines, report.summary.requests) == (3, 1)
    assert counts(report, "hour") == {"2025-10-01T13:00Z": 1}


def test_the_hours_are_those_of_the_zone_that_is_asked_for(tmp_path: Path) -> None:
    times = ["01/Oct/2025:22:30:00 +0000", "02/Oct/2025:04:15:00 +0530"]
    path = write(tmp_path / "access.log", [line(time=time) for time in times])
    found = counts(run([path], zone="Europe/Berlin"), "hour")
    assert found == {"2025-10-02T00:00+02:00": 2}


def test_a_list_with_more_values_than_are_kept_says_how_far_it_may_be_off(tmp_path: Path) -> None:
    lines = [line(client=f"192.0.2.{number % 7}") for number in range(700)]
    lines += [line(client=f"198.51.100.{number}") for number in range(200)]
    path = write(tmp_path / "access.log", lines)
    top = run([path], range_bytes=9000, keep=7).summary.tops["client"]
    true = {each.split()[0]: 0 for each in lines}
    for each in lines:
        true[each.split()[0]] += 1
    shown = {entry.value: entry for entry in top.first()}
    assert top.lost > 0
    for value, count in true.items():
        if value in shown:
            assert shown[value].count <= count <= shown[value].count + shown[value].slack
        else:
            assert count <= top.lost


def test_the_number_of_visitors_is_right_within_two_percent(tmp_path: Path) -> None:
    lines = [line(client=f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}") for n in range(50_000)]
    path = write(tmp_path / "access.log", lines * 2)
    report = run([path], range_bytes=1_000_000, by=["status"])
    assert abs(len(report.summary.visitors) - 50_000) < 1000


def test_the_largest_are_the_same_however_the_file_is_cut(tmp_path: Path) -> None:
    path = write(tmp_path / "access.log", many(2000))
    largest = [run([path], range_bytes=size).summary.largest for size in (1000, 10**7)]
    amounts = [[request.amount for request in found.greatest()] for found in largest]
    assert amounts[0] == amounts[1]
    assert len(amounts[0]) == 20
    sizes = sorted(int(each.split('"')[2].split()[1]) for each in many(2000))
    assert amounts[0] == sizes[:-21:-1]
    assert abs(largest[0].quantiles()[0] - sizes[1000]) < 300
