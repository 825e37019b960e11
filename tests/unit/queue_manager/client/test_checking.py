"""Values that no request may hold: the client says so in one line and sends nothing."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest

from queue_manager.client.asynchronous import AsyncClient
from queue_manager.client.checking import (
    STATES,
    buffer_of,
    check_options,
    numbers_of,
    run_of,
    seconds_of,
    state_of,
)
from queue_manager.client.connection.session import Session
from queue_manager.client.connection.where import limit_of, settings_for
from queue_manager.client.loop_thread import loop_thread
from queue_manager.client.own_session import OwnSession
from queue_manager.client.runs.async_run import AsyncRun
from queue_manager.client.runs.run import Run
from queue_manager.client.synchronous import Client
from queue_manager.errors import ArgumentError, SettingsError


class SilentSession:
    """Takes nothing: whatever is sent fails the test."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    async def call(self, make: Callable[[int], Any], *_: Any) -> Any:
        self.sent.append(make(1))
        raise AssertionError(f"{self.sent} was sent")

    call_once = call_idempotent = call


def double(value: int) -> int:
    return 2 * value


WRONG: dict[str, Callable[[Any, Any], Any]] = {
    "run(None)": lambda qm, run: qm.run(None),
    "run(1.5)": lambda qm, run: qm.run(1.5),
    "run(True)": lambda qm, run: qm.run(True),
    "run(bytes)": lambda qm, run: qm.run(b"x"),
    "run(2**70)": lambda qm, run: qm.run(2**70),
    "run(surrogate)": lambda qm, run: qm.run("\ud800"),
    "runs(state=5)": lambda qm, run: qm.runs(state=5),
    "runs(state='nostate')": lambda qm, run: qm.runs(state="nostate"),
    "runs(job=5)": lambda qm, run: qm.runs(job=5),
    "runs(job=long)": lambda qm, run: qm.runs(job="x" * 257),
    "map(key=5)": lambda qm, run: qm.map(double, [1], key=5),
    "map(key=0)": lambda qm, run: qm.map(double, [1], key=0),
    "map(buffer=text)": lambda qm, run: qm.map(double, [1], buffer="9"),
    "map(buffer=nan)": lambda qm, run: qm.map(double, [1], buffer=float("nan")),
    "start(key=5)": lambda qm, run: qm.start(double, [1], key=5),
    "start(key=bytes)": lambda qm, run: qm.start(double, [1], key=b"x"),
    "start(options=5)": lambda qm, run: qm.start(double, [1], options=5),
    "start(long job)": lambda qm, run: qm.start("x" * 257, [1]),
    "submit(key=5)": lambda qm, run: qm.submit("square", key=5),
    "submit(key=surrogate)": lambda qm, run: qm.submit("square", key="\ud800"),
    "submit(5)": lambda qm, run: qm.submit(5),
    "submit(after=None)": lambda qm, run: qm.submit("square", after=None),
    "submit(after=True)": lambda qm, run: qm.submit("square", after=True),
    "submit(after=2**70)": lambda qm, run: qm.submit("square", after=2**70),
    "submit(after=many)": lambda qm, run: qm.submit("square", after=list(range(1_025))),
    "then(key=5)": lambda qm, run: run.then(double, key=5),
    "wait(nan)": lambda qm, run: run.wait(float("nan")),
    "wait(text)": lambda qm, run: run.wait("5"),
}


@pytest.mark.parametrize("call", WRONG.values(), ids=WRONG)
def test_a_value_that_no_request_may_hold_is_a_type_error_and_is_not_sent(
    call: Callable[[Any, Any], Any],
) -> None:
    session = SilentSession()
    client = AsyncClient()
    client.session = cast(Session, session)

    async def asked() -> None:
        answer = call(client, AsyncRun(client.session, 1))
        if inspect.isasyncgen(answer):
            await anext(answer)
        else:
            await answer

    with pytest.raises(ArgumentError) as with_a_loop:
        asyncio.run(asked())
    plain = Client.__new__(Client)
    plain._own = OwnSession.__new__(OwnSession)
    plain._own._own = loop_thread(), client
    with pytest.raises(ArgumentError) as without:
        next(iter(call(plain, Run(plain, 1))))
    assert str(with_a_loop.value) == str(without.value)
    assert str(without.value).isprintable()
    assert session.sent == []


def test_what_a_request_may_hold_passes() -> None:
    class Whole:
        """A whole number of another library, as those of numpy."""

        def __index__(self) -> int:
            return 7

    assert [run_of("words"), run_of(7), run_of(Whole())] == ["words", 7, 7]
    assert numbers_of([3, AsyncRun(cast(Session, None), 4)]) == [3, 4]
    assert [state_of(state) for state in ("", *STATES)] == ["", *STATES]


@pytest.mark.parametrize(
    ("connect", "says"),
    [
        (partial(settings_for, 5901, "key"), "5901 is no address: it is HOST:PORT"),
        (partial(settings_for, b"h:5000", "key"), "b'h:5000' is no address"),
        (partial(settings_for, "h:5000", 5), "authkey= is of type int: pass a str or bytes"),
        (partial(settings_for, "h:5000", "\ud800"), "authkey= has characters that no text has"),
        (partial(limit_of, -1), "timeout=-1 is no time to wait: pass a number of seconds, such as"),
        (partial(limit_of, float("nan")), "timeout=nan is no time to wait"),
        (partial(limit_of, "5"), "timeout='5' is no time to wait"),
        (partial(limit_of, None), "timeout=None is no time to wait"),
    ],
)
def test_what_is_no_address_no_key_or_no_time_is_said_in_one_line(
    connect: Callable[[], Any], says: str
) -> None:
    with pytest.raises(SettingsError) as error:
        connect()
    assert str(error.value).startswith(says)


def test_numbers_of_seconds_pass() -> None:
    assert [limit_of(seconds) for seconds in (0, 2, 0.5, float("inf"))] == [0, 2, 0.5, float("inf")]


@pytest.mark.parametrize(
    ("look", "says"),
    [
        (partial(check_options, {"attempts": 3}), "are no options of tasks: pass Options(...)"),
        (partial(state_of, "over"), "is no state of a run: pass one of pending, active"),
        (partial(buffer_of, "9"), "is no number of inputs: pass a whole number, such as"),
        (partial(seconds_of, "5"), "is no time to wait: pass a number of seconds, or None"),
    ],
)
def test_a_wrong_argument_is_told_with_what_to_pass(look: Callable[[], Any], says: str) -> None:
    with pytest.raises(ArgumentError) as error:
        look()
    name, _, rest = str(error.value).partition("=")
    assert name in ("options", "state", "buffer", "timeout")
    assert says in rest
