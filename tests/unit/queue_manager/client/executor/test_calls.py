"""The calls of one run: what is cancelled when, what ends them, and who is told."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError, as_completed, wait
from typing import Any

import pytest

from queue_manager.client.executor import BrokenQueueError, calls
from queue_manager.client.executor import future as future_module
from queue_manager.client.executor.future import cancel_all
from queue_manager.client.runs import reasons
from queue_manager.errors import QueueError, RefusedError, TooLargeError
from queue_manager.wire.messages import CancelRun, OpenRun, Page, SubmitTasks
from queue_manager.wire.records import Ended
from tests.unit.queue_manager.client.executor.conftest import (
    PATIENCE_S,
    Scene,
    eventually,
    in_a_thread,
)

pytestmark = pytest.mark.timeout(60)


# --- cancelled calls ---


def test_a_call_that_was_seen_to_run_can_still_be_cancelled_by_shutdown(scene: Scene) -> None:
    [future] = scene.accepted(1)
    scene.master.leased.add(1)
    assert future.running()
    scene.master.leased.clear()  # its worker has given it back
    scene.calls.end(True)
    assert wait([future], PATIENCE_S).done
    assert future.cancelled()


def test_calls_of_a_run_that_somebody_else_cancels_are_broken(scene: Scene) -> None:
    running, other = scene.accepted(2)
    scene.master.leased.add(1)
    assert running.running()
    scene.master.cancel(1, 2, complete=True)
    for future in (running, other):
        assert isinstance(future.exception(PATIENCE_S), BrokenQueueError)
    scene.wait_end()
    assert "ended by somebody else" in str(scene.ended[0])


def test_no_later_end_takes_back_that_calls_are_cancelled(scene: Scene) -> None:
    scene.master.up = False
    waiting = [scene.submit() for _ in range(3)]
    scene.calls.end(True)
    scene.calls.end(False)  # a finalizer, or the end of the program
    assert not wait(waiting, PATIENCE_S).not_done
    assert all(one.cancelled() for one in waiting)
    assert scene.master.tasks == []
    scene.master.up = True
    scene.wait_end()
    assert scene.ended == [None]


def test_a_later_end_cancels_what_an_earlier_one_has_left(scene: Scene) -> None:
    futures = scene.accepted(3)
    scene.master.leased.add(1)
    scene.calls.end(False)
    eventually(lambda: scene.master.ended, "the run gets no more")
    scene.calls.end(True)
    assert not wait(futures[1:], PATIENCE_S).not_done
    assert [one.cancelled() for one in futures] == [False, True, True]
    scene.master.done(1, "one", complete=True)
    assert futures[0].result(PATIENCE_S) == "one"


def test_a_call_on_its_way_to_the_master_does_not_count_as_running(scene: Scene) -> None:
    first, second = scene.accepted(2)
    scene.master.hold = True
    future = scene.submit()
    eventually(lambda: future.number == 3, "it is on its way")
    assert not future.running()
    answers: list[bool] = []
    asking = threading.Thread(target=lambda: answers.append(future.cancel()))
    asking.start()
    scene.master.hold = False
    asking.join(PATIENCE_S)
    assert answers == [True]
    assert wait([future], 0).done
    assert not first.done()
    assert not second.done()


def test_calls_stay_here_while_the_master_is_away_and_are_cancelled_at_once(scene: Scene) -> None:
    scene.master.up = False
    futures = [scene.submit(n) for n in range(3)]
    assert futures[1].cancel()
    assert wait([futures[1]], 0).done
    assert not futures[0].running()
    scene.master.up = True
    scene.master.done(1)  # an empty page: the run is opened in the new session, then asked again
    eventually(lambda: scene.master.tasks == [0, 2], "the others are given")


def test_cancel_raises_nothing_while_the_master_is_away(scene: Scene) -> None:
    futures = scene.accepted(3)
    scene.master.up = False
    assert not futures[0].cancel()
    assert not futures[0].running()
    scene.master.up = True
    assert wait(futures[:1], PATIENCE_S).done
    assert futures[0].cancelled()
    assert not futures[1].done()


def test_a_call_that_the_master_does_not_take_keeps_no_other_from_being_cancelled(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = scene.accepted(2)
    scene.master.hold = True
    late, later = scene.submit(), scene.submit()
    eventually(lambda: later.number == 4, "both are on their way")
    with monkeypatch.context() as hurried:
        hurried.setattr(future_module, "CANCEL_S", 0.01)
        assert not late.cancel()
    assert first.cancel()
    assert second.cancel()
    assert not later.cancel(), "what comes behind it is not waited for"
    scene.master.hold = False
    assert not wait([late, later], PATIENCE_S).not_done
    assert late.cancelled()
    assert later.cancelled()


def test_cancel_raises_nothing_when_the_master_does_not_answer(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(future_module, "CANCEL_S", 0.01)
    [future] = scene.accepted(1)
    scene.master.hold = True
    late = scene.submit()
    eventually(lambda: late.number == 2, "it is on its way")
    assert not late.cancel()
    assert not late.running()
    assert not future.done()


def test_many_are_cancelled_without_waiting_for_the_master(scene: Scene) -> None:
    futures = scene.accepted(10)
    scene.master.leased = {1, 2}
    cancel_all(futures, wait=False)
    assert not wait(futures[2:], PATIENCE_S).not_done
    eventually(futures[0].running, "it has begun")
    requests = [one for one in scene.master.asked if isinstance(one, CancelRun)]
    assert [one.tasks for one in requests] == [[(1, 11)]]


def test_a_finalizer_in_the_loop_may_submit_and_cancel(scene: Scene) -> None:
    feed = scene.calls._feed
    assert feed is not None
    add, made = feed.add, []

    def add_and_collect_garbage(payload: Any) -> None:
        if not made:
            made.append(scene.submit("finalizer's"))
            made[0].cancel()
            placed[0].cancel()
        add(payload)

    placed = scene.accepted(1)
    scene.master.leased.add(1)
    feed.add = add_and_collect_garbage  # type: ignore[method-assign]
    scene.submit("mine")
    eventually(lambda: scene.master.tasks == [0, "mine"], "the loop goes on")
    assert made[0].cancelled()
    assert not placed[0].cancelled()


@pytest.mark.parametrize("whose", ["calls", "feed"])
def test_a_finalizer_that_interrupts_the_client_waits_for_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    """It may run in a thread that holds what the loop waits for."""
    monkeypatch.setattr(future_module, "CANCEL_S", 3_600.0)
    first, second = scene.accepted(2)
    scene.master.leased.add(2)
    scene.master.mute = True
    feed = scene.calls._feed
    assert feed is not None
    lock = scene.calls._lock if whose == "calls" else feed._lock

    def finalizer() -> tuple[bool, bool]:
        with lock:
            answers = first.cancel(), second.running()
            scene.completion.join()
            with pytest.raises(RuntimeError, match="a finalizer has interrupted the client"):
                scene.thread.call(asyncio.sleep(0))
            return answers

    assert in_a_thread(finalizer) == (False, False)
    scene.master.mute = False
    eventually(first.cancelled, "the answers are heard nevertheless")
    eventually(lambda: second._state == "RUNNING", "of both")
    assert scene.thread.call(asyncio.sleep(0, "there")) == "there"


def test_the_child_of_a_fork_cancels_nothing_of_its_parent(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    [future] = scene.accepted(1)
    held = scene.calls._lock, future._condition
    monkeypatch.setattr(scene.thread, "pid", -1)
    monkeypatch.setattr(future_module, "_forks", 1)
    answers: list[bool] = []
    asking = threading.Thread(
        target=lambda: answers.extend([future.cancel(), future.running(), future.done()]),
        daemon=True,
    )
    with held[0], held[1]:  # as another thread of the parent did at the fork
        asking.start()
        asking.join(PATIENCE_S)
        assert answers == [False, False, True]
    assert not future.unwanted
    assert not any(isinstance(one, CancelRun) for one in scene.master.asked)


# --- calls that nobody takes ---


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Why nothing moves is asked at once."""
    monkeypatch.setattr(reasons, "ASK_S", 0.001)


@pytest.mark.usefixtures("soon")
def test_the_log_says_why_no_worker_has_a_call(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = scene.accepted(2)
    eventually(lambda: caplog.messages, "the log says why")
    scene.master.done(1, "one", "two")
    assert not wait([first, second], PATIENCE_S).not_done
    assert caplog.messages == ["run 7 (job) waits: no worker is connected"]


def test_a_session_that_is_lost_between_two_pages_has_the_run_opened_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the master removes the run a minute later."""
    [future] = scene.accepted(1)
    opened: list[bool] = []
    next_page, asked = calls.next_page, len(scene.master.asked)

    async def noting(*arguments: Any) -> Page:
        opened.append(any(isinstance(one, OpenRun) for one in scene.master.asked[asked:]))
        return await next_page(*arguments)

    monkeypatch.setattr(calls, "next_page", noting)
    scene.master.losses += 1
    scene.master.done(1, "one")
    assert future.result(PATIENCE_S) == "one"
    eventually(lambda: opened, "the next page is asked for")
    assert opened[0]


# --- errors ---


@pytest.mark.parametrize("error", [RuntimeError("not foreseen"), RefusedError("no such run")])
def test_any_error_of_a_run_ends_its_calls(scene: Scene, error: Exception) -> None:
    placed = scene.accepted(2)
    scene.master.hold = True
    later = scene.submit()
    scene.master.tell(error)
    for future in [*placed, later]:
        assert isinstance(future.exception(PATIENCE_S), BrokenQueueError)
        assert str(error) in str(future.exception())
    scene.wait_end()
    with pytest.raises(QueueError, match=str(error)):
        scene.submit()


def test_an_error_that_nobody_foresaw_in_a_submit_ends_the_calls(scene: Scene) -> None:
    scene.accepted(1)

    async def broken(message: Any) -> Any:
        if isinstance(message, SubmitTasks):
            raise RuntimeError("not foreseen")
        return await answer(message)

    answer = scene.master._answer
    scene.master._answer = broken  # type: ignore[method-assign]
    assert "RuntimeError: not foreseen" in str(scene.submit().exception(PATIENCE_S))


@pytest.mark.parametrize("complete", [False, True])
def test_a_page_that_can_not_be_read_ends_the_calls(scene: Scene, complete: bool) -> None:
    futures = scene.accepted(3)
    short = Ended(1, 1, 0, 3, b"")
    scene.master.done(1, "one")
    scene.master.tell(Page(1, [short], {}, 1, complete))
    assert futures[0].result(PATIENCE_S) == "one"
    for future in futures[1:]:
        assert future.exception(PATIENCE_S) is not None


def test_too_few_results_end_the_calls(scene: Scene) -> None:
    from queue_manager import codec

    futures = scene.accepted(3)
    scene.master.tell(Page(1, [Ended(1, 1, 0, 3, codec.encode_batch([1, 2]))], {}, 1, False))
    for future in futures:
        assert isinstance(future.exception(PATIENCE_S), BrokenQueueError)
        assert "2 results of 3 tasks" in str(future.exception())


def test_whatever_a_callback_raises_the_other_calls_end(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    first, second, third = scene.accepted(3)

    def leave(_: Any) -> None:
        raise SystemExit

    first.add_done_callback(leave)
    third.add_done_callback(leave)
    scene.master.done(1, "one", "two")
    assert second.result(PATIENCE_S) == "two"
    scene.calls.end(True)
    scene.wait_end()
    assert third.cancelled()
    assert "a callback of a future has raised" in caplog.text


def test_a_call_that_can_not_be_sent_fails_alone(scene: Scene) -> None:
    [first] = scene.accepted(1)
    large = scene.submit(b"x" * 20_000)
    assert type(large.exception(PATIENCE_S)) is TooLargeError
    assert scene.submit("next").cancel()
    assert not first.done()


def test_calls_that_are_left_when_the_run_ends_are_told(scene: Scene) -> None:
    futures = scene.accepted(2)
    scene.master.leased = {1, 2}
    scene.calls.end(False)
    eventually(lambda: scene.master.ended, "the run gets no more")
    scene.master.done(1, "one", complete=True)  # nothing of the second one
    done = list(as_completed(futures, PATIENCE_S))
    assert len(done) == 2
    assert isinstance(futures[1].exception(), BrokenQueueError)


def test_the_end_does_not_wait_for_ever_for_a_master_that_says_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "FORGET_S", 0.01)
    [future] = scene.accepted(1)
    scene.master.hold = True
    scene.calls.abandon(QueueError("the client was closed"))
    assert isinstance(future.exception(PATIENCE_S), BrokenQueueError)
    scene.wait_end()


def test_a_cancelled_call_tells_those_who_wait(scene: Scene) -> None:
    futures = [*scene.accepted(2), scene.submit()]
    cancel_all(futures)
    assert [one.cancelled() for one in as_completed(futures, PATIENCE_S)] == [True] * 3
    with pytest.raises(CancelledError):
        futures[0].result(0)
