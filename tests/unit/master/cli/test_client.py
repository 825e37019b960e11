"""A command and a master that comes and goes: what is asked again, and what is not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from master.cli import client as asking_module
from master.cli.client import Asking
from queue_manager.errors import ConnectionLostError, WrongKeyError
from queue_manager.wire.messages import Accepted, RetryRun


class FakeLink:
    """Loses the master a few times, then answers."""

    def __init__(self, losses: int, failure: Exception | None = None) -> None:
        self.losses = losses
        self.failure = failure
        self.asked = 0
        self.up = False

    async def request(self, make: Any, answer: Any) -> Any:
        self.asked += 1
        if self.asked <= self.losses:
            self.up = False
            raise ConnectionLostError("lost the master: reset")
        return Accepted(1, 5)

    async def wait_up(self) -> None:
        await asyncio.sleep(0)
        if self.failure is None:
            self.up = True


def ask(link: Any, *, again: bool) -> Any:
    asking = Asking(link)

    def make(seq: int) -> RetryRun:
        return RetryRun(seq, 1)

    if again:
        return asyncio.run(asking.again(make, Accepted))
    return asyncio.run(asking.once(make, Accepted, "whether it was done"))


def test_what_may_be_repeated_is_and_each_loss_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    link = FakeLink(2)
    assert ask(link, again=True) == Accepted(1, 5)
    assert link.asked == 3
    assert capsys.readouterr().err == "qm: lost the master; waiting for it\n" * 2


def test_what_may_not_be_repeated_is_said_to_be_unknown() -> None:
    link = FakeLink(1)
    with pytest.raises(ConnectionLostError, match="whether it was done is unknown: see `qm status"):
        ask(link, again=False)
    assert link.asked == 1


def test_a_request_that_always_ends_the_session_is_given_up() -> None:
    link = FakeLink(10**6)
    with pytest.raises(ConnectionLostError, match="10 times at the same request"):
        ask(link, again=True)
    assert link.asked == 10


def test_a_master_that_comes_back_with_another_key_is_said_once_and_waited_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may get the old one back."""
    monkeypatch.setattr(asking_module, "_POLL_S", 0.001)
    link = FakeLink(1, WrongKeyError("wrong authkey for h:1"))
    looks = iter([link.failure] * 3)

    async def wait_up(_: Any) -> None:
        link.failure = next(looks, None)
        if link.failure is not None:
            raise link.failure
        link.up = True

    monkeypatch.setattr(asking_module, "wait_up", wait_up)
    assert ask(link, again=True) == Accepted(1, 5)
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "qm: lost the master; waiting for it",
        "qm: wrong authkey for h:1; trying again",
    ]
