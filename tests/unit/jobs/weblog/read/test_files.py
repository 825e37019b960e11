"""Files as they are found on a disk: rotated, beside others, cut while they are read."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from jobs.weblog import work
from jobs.weblog.read.found import found, note
from jobs.weblog.read.lines import Lines, ShorterError
from tests.unit.jobs.weblog.logs_made import asked, many


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
