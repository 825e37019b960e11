"""The commands take a run's number, or its key."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from master.cli import commands, listings, main, status
from queue_manager import codec
from queue_manager.errors import ConnectionLostError, RefusedError
from queue_manager.wire.messages import (
    Accepted,
    AskResults,
    AskRun,
    AskStatus,
    AskTask,
    CancelRun,
    ForgetRun,
    Results,
    RetryRun,
    RunShown,
    StartRun,
    Status,
    TaskShown,
)
from queue_manager.wire.records import TaskStatus
from tests.unit.master.cli.text.test_status_text import run


class FakeMaster:
    """Has run 5, whose key is `night`. asked: what it was asked of that run."""

    def __init__(self) -> None:
        self.asked: list[type] = []

    async def call_idempotent(self, make: Callable[[int], Any], answer: Any) -> Any:
        ask = make(1)
        if isinstance(ask, AskStatus):
            return Status(1, "9.9", "here:5", 61.0, 0, [], 0, 0, 0)
        if isinstance(ask, AskRun):
            if ask.key not in (None, "night"):
                raise RefusedError(f"no run has the key {ask.key!r}")
            return RunShown(1, run(5, [], key="night"))
        assert ask.run == 5
        self.asked.append(type(ask))
        if isinstance(ask, AskResults):
            return Results(1, [], 0, True)
        body = codec.encode_batch([1])
        return TaskShown(1, TaskStatus(5, "job", 2, "waiting", body=body, position=0))

    async def call(self, make: Callable[[int], Any], answer: Any, what: str) -> Accepted:
        ask = make(1)
        assert ask.run == 5
        self.asked.append(type(ask))
        return Accepted(1, 3)


@pytest.fixture
def master(monkeypatch: pytest.MonkeyPatch) -> FakeMaster:
    fake = FakeMaster()

    @contextlib.asynccontextmanager
    async def connected(*_: Any) -> AsyncIterator[FakeMaster]:
        yield fake

    for module in (commands, listings, status):
        monkeypatch.setattr(module, "connected", connected)
    monkeypatch.setattr(main, "hide_key", lambda: None)
    monkeypatch.setenv("QUEUE_AUTHKEY", "k")
    return fake


def qm(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["qm", *words])
    with pytest.raises(SystemExit) as ended:
        main.main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize("which", ["5", "night"])
@pytest.mark.parametrize(
    ("command", "rest", "asks", "shows"),
    [
        ("status", [], [], "    5  active"),
        ("results", [], [AskResults], ""),
        ("failed", [], [AskResults], "run 5 (job): 5 dead letters"),
        ("show", ["2"], [AskTask], "run 5 (job), task 2"),
        ("retry", [], [RetryRun], "run 5: 3 dead letters go back"),
        ("cancel", [], [CancelRun], "run 5: 3 tasks cancelled"),
        ("forget", [], [ForgetRun], "run 5: gone, with 3 tasks and their results"),
    ],
)
def test_a_command_takes_the_number_of_a_run_or_its_key(
    command: str,
    rest: list[str],
    asks: list[type],
    shows: str,
    which: str,
    master: FakeMaster,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert qm(monkeypatch, command, which, *rest) == 0
    assert master.asked == asks
    assert shows in capsys.readouterr().out


def test_a_key_that_no_run_has_is_one_line(
    master: FakeMaster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert qm(monkeypatch, "cancel", "day") == 2
    assert capsys.readouterr().err == "qm: no run has the key 'day'\n"
    assert master.asked == []


class LostMaster:
    """Is gone before it has answered."""

    async def call(self, make: Callable[[int], Any], answer: Any, what: str) -> Accepted:
        raise ConnectionLostError(what)


def test_who_loses_the_master_is_told_when_the_same_command_gives_the_same_run() -> None:
    master: Any = LostMaster()
    with pytest.raises(ConnectionLostError, match="has --key, or if the job makes a key"):
        asyncio.run(commands._start(master, lambda seq: StartRun(seq, "mail", [])))
