"""Which files patterns name, and what is said where they name none."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.weblog import work
from queue_manager import Reject, Retry
from tests.unit.jobs.weblog.logs_made import asked, many, run

TEXT = "".join(f"{each}\n" for each in many(100)).encode()
NOBODY = 65534


def refusal(pattern: Path | str) -> str:
    """Why there is nothing to read."""
    with pytest.raises(Reject) as caught:
        work.plan_run({"patterns": [str(pattern)], "asked": asked().packed()})
    assert "\n" not in caught.value.reason
    return caught.value.reason


@contextlib.contextmanager
def as_nobody(folder: Path) -> Iterator[int]:
    """A user who may read in this folder only what all may; gives the uid."""
    if os.geteuid():
        yield os.geteuid()
        return
    for parent in (folder, *folder.parents[:3]):
        parent.chmod(0o755)
    os.seteuid(NOBODY)
    try:
        yield NOBODY
    finally:
        os.seteuid(0)


def test_a_pattern_that_matches_nothing_says_on_which_machine(tmp_path: Path) -> None:
    told = f"no file matches {tmp_path}/none* on the machine of this worker"
    assert refusal(tmp_path / "none*") == told


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nginx" / "access*"
    assert refusal(path).endswith(f"this worker: there is no folder {tmp_path}/nginx")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert (
        refusal(tmp_path) == f"{tmp_path} is no file but a folder: {tmp_path}/* is the files in it"
    )


def test_a_name_that_cannot_travel_is_shown_with_its_bytes(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/access\xe9.log", "wb"):
        pass
    told = f"the name of {tmp_path}/access\\xe9.log is no UTF-8: rename the file or its folder"
    assert refusal(tmp_path / "*.log") == told


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is no file but a pipe, a socket or a device" in refusal(tmp_path / "pipe")


def test_a_file_that_the_worker_may_not_read_is_named_with_the_user(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(TEXT)
    path.chmod(0)
    with as_nobody(tmp_path) as uid:
        told = refusal(tmp_path / "access*")
    assert told == f"{path} can't be read by the worker's user, whose uid is {uid}"


def test_a_folder_that_the_worker_may_not_read_is_named_with_the_user(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    folder.chmod(0)
    with as_nobody(tmp_path) as uid:
        told = refusal(folder / "access*")
    folder.chmod(0o755)
    assert told == f"the folder {folder} can't be read by the worker's user, whose uid is {uid}"


def test_a_file_that_is_renamed_while_files_are_looked_for_is_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(TEXT)
    with monkeypatch.context() as patched:
        patched.setattr("jobs.weblog.work.files_of", lambda _: [tmp_path / "gone"])
        with pytest.raises(Retry, match=r"gone was renamed or removed just now"):
            run([path])
