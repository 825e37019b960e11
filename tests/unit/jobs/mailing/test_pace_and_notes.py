"""The pace of a server where the clock jumps, and notes on a disk that is full."""

from __future__ import annotations

import errno
import itertools
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from jobs.mail import OPTIONS
from jobs.mailing.keep.notes import Held, Notes, Trouble
from jobs.mailing.send import sending
from jobs.mailing.send.errors import NotSent
from jobs.mailing.send.pace import Pace


class Clock:
    """A clock that goes on where somebody sleeps. slept: for how long, in seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.slept = 1_000_000.0, list[float]()
        monkeypatch.setattr("jobs.mailing.send.pace.time.time", lambda: self.now)
        monkeypatch.setattr("jobs.mailing.send.pace.time.sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        """Sleep without waiting."""
        self.slept.append(round(seconds, 3))
        self.now += seconds


def test_a_clock_that_was_two_hours_ahead_stops_no_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    pace = Pace(tmp_path, 10.0)
    clock.now += 7200.0
    pace.wait(600.0)
    clock.now -= 7200.0
    for _ in range(3):
        pace.wait(600.0)
    assert clock.slept == [0.0, 0.0, 0.1, 0.1]


def test_a_campaign_that_is_faster_keeps_the_turn_of_one_that_is_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    slow, fast = Pace(tmp_path, 0.001), Pace(tmp_path, 10.0)
    slow.wait(600.0)
    clock.now += 10.0
    with pytest.raises(NotSent, match="no turn within 600 s"):
        fast.wait(600.0)
    clock.now += 900.0
    fast.wait(600.0)
    assert clock.slept == [0.0, 90.0]


def test_a_try_may_wait_for_its_turn_and_for_the_server_within_its_time() -> None:
    assert sending._MOST_WAIT_S == 600.0
    assert OPTIONS.timeout_s is not None
    assert OPTIONS.timeout_s >= sending._MOST_WAIT_S + 1000.0


def test_threads_of_a_process_note_that_domains_wait_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes, replace, both = Notes(str(tmp_path)), os.replace, threading.Barrier(2)

    def together(part: Path, path: Path) -> None:
        both.wait(60.0)
        replace(part, path)

    monkeypatch.setattr("jobs.mailing.keep.notes.os.replace", together)
    until = time.time() + 100.0
    held = [Held(f"{name}.example", until + number, "421") for number, name in enumerate("ba")]
    threads = [threading.Thread(target=notes.hold, args=(one,)) for one in held]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60.0)
    assert notes.held() == held[::-1]


@pytest.mark.parametrize("name", ["mkdir", "write"])
def test_a_full_disk_takes_no_notes_and_no_outcome_depends_on_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    notes = Notes(str(tmp_path))
    with monkeypatch.context() as patch:
        if name == "mkdir":
            patch.setattr(Path, "mkdir", full)
        else:
            patch.setattr(os, "write", full)
            patch.setattr(Path, "write_bytes", full)
        notes.trouble(Trouble("1", "ann@example.org", "waiting", "451 later", 1.0))
        notes.hold(Held("a.example", time.time() + 100.0, "421"))
    assert list(itertools.chain(notes.troubles(), notes.held())) == []
