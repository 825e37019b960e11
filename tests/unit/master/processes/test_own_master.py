"""A command's own master: where it listens, and one line for whatever it can't go on with."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from master.processes import kept_child, own_master
from master.processes.own_master import OwnMaster
from queue_manager.errors import QueueError

WAIT_S = 30.0


def program(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program in the place of Python, for both children."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{text}\nexec sleep 60\n")
    path.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(path))


def trouble_of(folder: Path) -> str:
    lines: list[str] = []
    own = OwnMaster(folder / "own", 1, lambda line: None)
    own.on_trouble(lines.append)
    with own:
        assert own._listens.wait(WAIT_S)
        with pytest.raises(QueueError) as caught:
            own.wait()
    assert lines == [str(caught.value)]
    return lines[0]


def test_the_master_has_the_same_socket_again_after_its_death(tmp_path: Path) -> None:
    with OwnMaster(tmp_path / "own", 1, lambda line: None) as own:
        own.wait()
        before = own.address, pid_of(tmp_path)
        assert b"--workers-gone" in words_of(before[1])
        os.kill(before[1], signal.SIGKILL)
        asked = socket.create_connection(
            ("127.0.0.1", int(own.address.split(":")[1]))
        )  # nobody refuses it meanwhile
        asked.settimeout(WAIT_S)
        assert asked.recv(1)
        assert own.address == before[0] != ""
        assert pid_of(tmp_path) != before[1]
        assert b"--workers-gone" not in words_of(pid_of(tmp_path))  # this one's worker lives


def test_the_worker_starts_when_it_may_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The master answers before that."""
    started: list[str] = []
    keep = kept_child.Child.keep

    def noted(child: kept_child.Child) -> None:
        started.append(child._module)
        keep(child)

    monkeypatch.setattr(own_master.Child, "keep", noted)
    may_work = threading.Event()
    with OwnMaster(tmp_path / "own", 1, lambda line: None, may_work=may_work) as own:
        own.wait()
        assert set(started) == {"master"}
        may_work.set()
        until = time.monotonic() + WAIT_S
        while "worker" not in started and time.monotonic() < until:
            time.sleep(0.01)
        assert "worker" in started


def words_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def pid_of(folder: Path) -> int:
    """The process of the own master, by its command line and the folder of its data."""
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (path / "cmdline").read_bytes()
            if b"--listening" in words and str(folder).encode() in (path / "environ").read_bytes():
                return int(path.name)
    raise AssertionError("there is no master")


def test_a_master_that_never_answers_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "echo No space left on device", monkeypatch)
    monkeypatch.setattr(own_master, "START_S", 0.5)
    line = trouble_of(tmp_path)
    assert line.startswith("the master of this command has not answered within 0 s")
    assert line.endswith(": No space left on device")


def test_any_error_of_who_keeps_them_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(own_master.Child, "keep", broken)
    line = trouble_of(tmp_path)
    assert line == "the master and worker of this command can't go on: can't start new thread"


def test_a_child_that_can_not_be_started_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    assert "can't be started: [Errno 2]" in trouble_of(tmp_path)


def test_a_child_that_signals_end_again_and_again_is_one_line_that_names_the_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "echo run 1 started; kill -9 $$", monkeypatch)
    monkeypatch.setattr(kept_child, "_FIRST_PAUSE_S", 0.001)
    line = trouble_of(tmp_path)
    assert line.endswith(" of this command has ended 6 times, the last time by SIGKILL")


def test_settings_of_environments_are_those_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = tmp_path / "said"
    text = (
        f'case "$*" in *serve*) ;; *) echo "$QUEUE_ENVIRONMENTS $QUEUE_KEEP_DAYS" > {said};; esac'
    )
    program(tmp_path, text, monkeypatch)
    monkeypatch.setenv("QUEUE_ENVIRONMENTS", "off")
    monkeypatch.setenv("QUEUE_KEEP_DAYS", "3")
    monkeypatch.setattr(own_master, "START_S", 1.0)
    trouble_of(tmp_path)
    assert said.read_text() == "off 3\n"
