"""`report()`: when it is called, with what counts, and what becomes of what it says."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from master.runner import collector, reporting
from master.runner.collector import Collector
from master.runner.job_errors import JobErrors
from master.runner.reporting import EVERY_S, PACE_S, Pace, Reporter
from master.runner.session import RunnerSession
from queue_manager import Counts, codec
from queue_manager.wire.messages import AskRun, Page, RunShown
from queue_manager.wire.records import Ended, RunStatus


class FakeWire:
    """Says how a run is; done is changed by the test."""

    def __init__(self) -> None:
        self.done, self.dead, self.tasks, self.asked = 0, 0, 100, 0
        self.sent: list[Any] = []

    def request(self, make: Any, answer: type[Any]) -> Future[Any]:
        future: Future[Any] = Future()
        if isinstance(make(1), AskRun):
            self.asked += 1
            waiting = self.tasks - self.done - self.dead - 5
            run = RunStatus(
                3, "job", [], "active", self.tasks, waiting, 3, 2, self.done, self.dead,
                False, 0, 0.0, None,
            )  # fmt: skip
            future.set_result(RunShown(1, run))
        else:
            future.set_result(Page(1, [], {}, 9, True, 1.0))
        return future

    def send(self, message: Any) -> None:
        self.sent.append(message)


class Scene:
    """A reporter, its session, and a clock that is moved."""

    def __init__(self, clock: SimpleNamespace, answer: Any = None) -> None:
        self.clock, self.answer = clock, answer
        self.given: list[Counts] = []
        self.session = FakeWire()
        self.errors = JobErrors()
        self.reporter = Reporter(cast(RunnerSession, self.session), 3, self.report, self.errors)

    def report(self, counts: Counts) -> Any:
        self.given.append(counts)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def later(self, wait_s: float, done: int | None = None) -> None:
        self.clock.now += wait_s
        self.session.done = self.session.done if done is None else done
        self.reporter.look()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    made = SimpleNamespace(now=1000.0)
    made.monotonic = lambda: made.now
    for module in (reporting, collector):
        monkeypatch.setattr(module, "time", made)
    return made


def test_it_is_called_every_few_seconds_while_anything_changes(clock: Any) -> None:
    scene = Scene(clock)
    scene.later(EVERY_S - 0.1, 10)
    assert scene.given == []
    scene.later(0.1, 10)
    assert scene.given == [Counts(100, 10, 0, 85, 3, 2, left_s=45.0, per_s=2.0)]
    for _ in range(5):
        scene.later(EVERY_S)
    assert len(scene.given) == 1
    scene.later(EVERY_S, 11)
    scene.later(0.1, 12)
    assert [counts.done for counts in scene.given] == [10, 11]
    assert scene.session.asked == 1 + 1 + 5 + 1


def test_it_is_called_once_more_at_the_end_whatever_has_changed(clock: Any) -> None:
    scene = Scene(clock)
    scene.later(EVERY_S, 10)
    scene.reporter.say_last()
    assert [counts.done for counts in scene.given] == [10, 10]


def test_what_it_returns_is_one_line_on_stderr_and_nothing_where_it_is_empty(
    clock: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    for answer in ("10 of 100\nso far", None, "", 7, "at \x1b[2J"):
        scene = Scene(clock, answer)
        scene.reporter.say_last()
    assert capfd.readouterr() == ("", "10 of 100 so far\n7\nat \\x1b[2J\n")


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1)])
def test_an_exception_in_it_is_counted(clock: Any, error: BaseException) -> None:
    scene = Scene(clock, error)
    scene.later(EVERY_S, 1)
    scene.later(EVERY_S, 2)
    assert scene.errors.take() == 2


def test_without_a_report_nobody_is_asked(clock: Any) -> None:
    session = FakeWire()
    reporter = Reporter(cast(RunnerSession, session), 3, None, JobErrors())
    clock.now += 2 * EVERY_S
    reporter.look()
    reporter.say_last()
    page: Future[Page] = Future()
    page.set_result(Page(1, [], {}, 0, True))
    assert reporter.wait(page).complete
    assert session.asked == 0


def test_it_is_called_while_a_page_does_not_come(clock: Any) -> None:
    scene = Scene(clock)
    scene.session.done = 10
    page = Page(1, [], {}, 0, True)

    class Late(Future[Page]):
        waits: list[float] = []  # noqa: RUF012

        def result(self, timeout: float | None = None) -> Page:
            self.waits.append(timeout or 0.0)
            if len(self.waits) > 2:
                return page
            clock.now += timeout or 0.0
            raise TimeoutError

    assert scene.reporter.wait(Late()) is page
    assert Late.waits == [EVERY_S] * 3
    assert [counts.done for counts in scene.given] == [10]


def test_it_is_called_between_two_calls_of_collect_in_the_same_thread(clock: Any) -> None:
    scene = Scene(clock)
    order: list[Any] = []
    scene.report = order.append  # type: ignore[method-assign, assignment]
    scene.reporter._report = scene.report
    outcomes = [Ended(9, 1, 0, 4, codec.encode_batch([1, 2, 3, 4]))]
    pages = [Page(1, outcomes, {1: codec.encode_batch([1, 2, 3, 4])}, 9, True, 1.0)]

    def request(make: Any, answer: type[Any]) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(pages.pop())
        return future if answer is Page else FakeWire.request(scene.session, make, answer)

    def collect(payload: int, result: int) -> None:
        order.append(payload)
        scene.session.done = payload
        clock.now += EVERY_S / 2

    session: Any = SimpleNamespace(request=request, send=scene.session.send)
    Collector(session, 3, collect, 0, 0, scene.errors, scene.reporter).collect_all()
    assert [one if isinstance(one, int) else "report" for one in order] == [
        1, 2, "report", 3, 4, "report",
    ]  # fmt: skip


# --- the rate ---


def test_the_rate_is_that_of_the_last_half_minute() -> None:
    pace = Pace()
    assert pace.per_s(0.0, 0) is None
    assert pace.per_s(5.0, 0) == 0.0
    assert pace.per_s(10.0, 10) == 1.0
    for second in range(15, 100, 5):
        per_s = pace.per_s(float(second), 10 + 2 * (second - 10))
    assert per_s == 2.0  # how slow it began is forgotten
    assert len(pace._seen) <= PACE_S / 5 + 2


def test_no_time_is_left_when_nothing_is_and_none_is_known_when_nothing_ends(clock: Any) -> None:
    scene = Scene(clock)
    scene.later(EVERY_S, 10)
    assert (scene.given[-1].per_s, scene.given[-1].left_s) == (2.0, 45.0)
    scene.session.tasks += 1
    scene.later(2 * PACE_S)
    scene.session.tasks += 1
    scene.later(EVERY_S, 5)  # dead letters went back
    assert (scene.given[-1].per_s, scene.given[-1].left_s) == (0.0, None)
    scene.session.tasks = 5 + 5
    scene.session.done = 10
    scene.session.request = over(scene.session.request)  # type: ignore[method-assign]
    scene.later(EVERY_S)
    assert scene.given[-1].left_s == 0.0


def over(request: Any) -> Any:
    """As if nothing were left."""

    def answer(make: Any, kind: type[Any]) -> Future[Any]:
        shown = request(make, kind).result()
        run = msgspec.structs.replace(shown.run, waiting=0, leased=0, delayed=0)
        future: Future[Any] = Future()
        future.set_result(msgspec.structs.replace(shown, run=run))
        return future

    return answer
