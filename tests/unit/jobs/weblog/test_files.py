"""Files as they are found on a disk: rotated, beside others, cut, broken, packed very small."""

from __future__ import annotations

import errno
import gzip
import io
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import zstandard

from jobs.weblog import work
from jobs.weblog.read import packed
from jobs.weblog.read.found import found, note
from jobs.weblog.read.lines import Lines, ShorterError
from queue_manager import Reject
from tests.unit.jobs.weblog.logs_made import asked, many, run


def write(path: Path, count: int = 100, seed: int = 1) -> Path:
    """A log."""
    path.write_text("".join(f"{each}\n" for each in many(count, seed)))
    return path


def test_a_rotated_file_is_found_beside_a_folder_a_pipe_and_a_file_that_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = note(write(tmp_path / "access.log"))
    shutil.copy(tmp_path / "access.log", tmp_path / "access.log.4")
    (tmp_path / "access.log").unlink()
    (tmp_path / "access.log.1").mkdir()
    os.mkfifo(tmp_path / "access.log.2")
    write(tmp_path / "access.log.3", 200, seed=2)
    opened = Path.open

    def refused(path: Path, *words: Any, **more: Any) -> Any:
        if path.name == "access.log.3":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *words, **more)

    monkeypatch.setattr(Path, "open", refused)
    with found(noted) as file:
        assert Path(str(file.name)).name == "access.log.4"


def test_a_file_that_cannot_be_read_now_is_no_lost_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = note(write(tmp_path / "access.log"))

    def refused(path: Path, *_words: Any, **_more: Any) -> Any:
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(OSError, match="Input/output error"), found(noted):
        pass


def test_a_file_that_is_cut_while_it_is_read_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "access.log", 1000)
    plan = work.plan_run({"patterns": [str(path)], "asked": asked().packed()})
    (task,) = plan.follow
    with monkeypatch.context() as patched:

        def rotated_meanwhile(*words: Any) -> Any:
            shutil.copy(path, tmp_path / "access.log.1")
            os.truncate(path, 0)
            return Lines(*words)

        patched.setattr("jobs.weblog.read.source.Lines", rotated_meanwhile)
        with pytest.raises(ShorterError, match=r"access\.log: it ends at byte 0"):
            work.count_range(task.payload)
    assert work.count_range(task.payload)["lines"] == 1000


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


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_packed_file_with_something_else_behind_it_is_a_failure_that_says_so(
    tmp_path: Path, kind: str
) -> None:
    text = write(tmp_path / "plain").read_bytes()
    pack = gzip.compress if kind == "gzip" else zstandard.ZstdCompressor().compress
    (tmp_path / "access.log").write_bytes(pack(text) + b"garbage garbage")
    with pytest.raises(Reject, match=rf"access\.log: the {kind} file is broken"):
        run([tmp_path / "access.log"])
