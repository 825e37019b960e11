"""The ledger where two workers, two runs or two masters have one message."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from jobs.mailing.keep import ledger as ledgers
from jobs.mailing.keep.ledger import Fate, Ledger


def names(folder: Path) -> list[str]:
    """The names of all notes."""
    return sorted(path.name for path in folder.glob("ledger/*/*"))


def test_what_was_told_between_the_look_and_the_note_is_not_begun(tmp_path: Path) -> None:
    first, second = Ledger(str(tmp_path)), Ledger(str(tmp_path))
    assert second.fate("m", "2.1", again=True) is Fate.NEW
    assert first.begin("m")
    first.tell("m", "1.1")  # its connection broke, while the second waits for its turn
    assert not second.begin("m")
    assert names(tmp_path) == ["m.told"]
    assert second.begin("m", allow_twice=True)
    second.clear("m")
    assert names(tmp_path) == ["m.told"]


def test_nobody_tells_the_fate_of_what_is_being_sent(tmp_path: Path) -> None:
    first, second = Ledger(str(tmp_path)), Ledger(str(tmp_path))
    assert first.begin("m")
    assert second.fate("m", "1.1", again=False) is Fate.BUSY
    assert not second.begin("m", allow_twice=True)
    second.tell("m", "1.1")
    assert names(tmp_path) == ["m.begun", "m.told"]
    first.clear("m")  # the server has said no: what was told is not true
    assert names(tmp_path) == []


def test_a_worker_that_is_gone_leaves_an_unknown_fate(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0 if Ledger(str(tmp_path)).begin("m") else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert Ledger(str(tmp_path)).fate("m", "1.1", again=True) is Fate.UNKNOWN


def test_each_run_that_was_told_may_be_tried_again(tmp_path: Path) -> None:
    for task in ("2.1", "1.1"):
        ledger = Ledger(str(tmp_path))
        ledger.begin("m")
        ledger.tell("m", "1.1")
        ledger.tell("m", "2.1")
        assert ledger.fate("m", "3.1", again=True) is Fate.UNKNOWN
        assert ledger.fate("m", task, again=True) is Fate.NEW
        assert names(tmp_path) == []


def test_a_person_decides_behind_a_worker_that_was_killed_while_it_told(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path))
    ledger.begin("m")
    ledger.let_go()
    (told,) = [path.with_suffix(".told") for path in tmp_path.glob("ledger/*/m.begun")]
    told.write_text("1.1\n")
    assert ledger.fate("m", "1.1", again=True) is Fate.NEW
    assert ledger.begin("m")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_note_that_a_disk_does_not_take_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(fd: int) -> None:
        raise OSError(number, os.strerror(number))

    ledger = Ledger(str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(ledgers.os, "fsync", fail)
        with pytest.raises(OSError, match=os.strerror(number)):
            ledger.begin("m")
    assert names(tmp_path) == []
    assert ledger.fate("m", "1.1", again=True) is Fate.NEW
    assert ledger.begin("m")
