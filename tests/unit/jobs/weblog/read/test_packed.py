"""Packed files: unpacked in parts, cut off, broken, unfinished."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from jobs.weblog.read import packed
from queue_manager import Reject, Retry
from tests.unit.jobs.weblog.logs_made import many, run

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}
packers = pytest.mark.parametrize(("name", "pack"), PACKERS.items(), ids=PACKERS)
LINES = 3000
TEXT = "".join(f"{each}\n" for each in many(LINES)).encode()


def old(path: Path, data: bytes) -> Path:
    """A file that nobody has written to for an hour."""
    path.write_bytes(data)
    then = time.time() - 3600
    os.utime(path, (then, then))
    return path


@packers
def test_files_are_told_by_their_contents(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    half = len(TEXT) // 2
    parts = pack(TEXT[:half]) + pack(TEXT[half:])
    found = run([old(tmp_path / "access.log", parts)])
    assert (found.summary.lines, found.summary.requests) == (LINES, LINES), name


@packers
def test_zero_bytes_behind_the_end_are_no_fault(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    path = old(tmp_path / "access.log", pack(TEXT) + bytes(512) + pack(TEXT) + bytes(300_000))
    assert run([path]).summary.lines == 2 * LINES, name


@packers
def test_a_file_that_is_cut_off_is_a_failure_that_says_so(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    data = pack(TEXT)
    path = old(tmp_path / "access.log", data[: len(data) // 2])
    with pytest.raises(Reject, match=rf"access\.log: the {name} file is cut off$"):
        run([path])


@packers
def test_a_file_that_is_being_written_is_tried_again(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    path, data = tmp_path / "access.log", pack(TEXT)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(Retry, match=rf"access\.log: the {name} file is cut off") as caught:
        run([path])
    assert caught.value.delay_s is not None
    assert 50 < caught.value.delay_s <= 61  # until it is old enough to be broken
    path.write_bytes(data)
    assert run([path]).summary.lines == LINES


@packers
def test_a_file_with_something_else_behind_it_is_a_failure_that_says_so(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    path = old(tmp_path / "access.log", pack(TEXT) + b"garbage garbage")
    with pytest.raises(Reject, match=rf"access\.log: the {name} file is broken"):
        run([path])


def test_what_cannot_be_unpacked_is_no_lines(tmp_path: Path) -> None:
    path = old(tmp_path / "access.zip", b"PK\x03\x04" + bytes(100))
    with pytest.raises(Reject, match=r"access\.zip is packed by zip, not by one of gzip, bzip2"):
        run([path])


def test_an_xz_file_that_asks_for_much_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "_DICTIONARY_BYTES", 1 << 20)
    with pytest.raises(Reject, match=r"the xz file is broken: Memory usage limit exceeded"):
        run([old(tmp_path / "access.log", lzma.compress(TEXT))])


class Failing(io.BytesIO):
    """A disk that fails."""

    def read(self, _most: int | None = -1) -> bytes:
        """Fail."""
        raise OSError(errno.EIO, "Input/output error")


def test_a_disk_that_fails_is_no_broken_gzip_file() -> None:
    with pytest.raises(OSError, match="Input/output error"):
        packed.gzip_reader(Failing())(100)
    with pytest.raises(packed.PackedError, match="the gzip file is broken"):
        packed.gzip_reader(io.BytesIO(gzip.compress(b"a" * 99)[:-8] + bytes(8)))(100)


def test_a_zstd_file_that_is_packed_very_small_is_unpacked_in_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = bytes(64 << 20)
    small = zstandard.ZstdCompressor().compress(text)
    monkeypatch.setattr(packed, "_FED_BYTES", 100)
    stream = packed._Frames(io.BytesIO(small * 2 + zstandard.ZstdCompressor().compress(b"end")))
    size = most = 0
    last = b""
    while part := stream.read(1 << 20):
        size, last = size + len(part), part
        most = max(most, len(stream._ready))
    assert (size, last[-3:]) == (2 * len(text) + 3, b"end")
    assert most < 32 << 20
