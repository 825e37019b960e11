"""The exception of a dead letter: itself where that is safe, and never code of somebody else."""

from __future__ import annotations

import sys
import traceback
from typing import Any

import pytest

from queue_manager import Reject, Retry, TaskError, TimeLimitError, WorkerDiedError, codec
from queue_manager.client.exceptions import RemoteTraceback, exception_of
from queue_manager.job.raised import TIME_LIMIT, WORKER_DIED, write_raised
from queue_manager.wire.records import DeadLetter
from worker.ipc.outcomes import failed


class OddError(Exception):
    """Makes its text of its argument."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no {name}")
        self.name = name


class DemandingError(Exception):
    """Takes other arguments than it keeps."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def letter_of(error: BaseException) -> DeadLetter:
    """The dead letter of a task that has raised this."""
    try:
        raise error
    except BaseException as caught:
        told = failed(1, 0, caught, 0.1)
    return DeadLetter(7, 1, 0, told.error, told.evidence, "host/1", raised=told.raised)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad", 3),
        KeyError("k"),
        ZeroDivisionError("division by zero"),
        FileNotFoundError(2, "No such file or directory", "/nowhere"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        TimeoutError("the host is slow"),
        Reject("not a picture"),
        RecursionError(),
    ],
)
def test_what_the_client_knows_comes_back_as_itself(error: Exception) -> None:
    made = exception_of(letter_of(error))
    assert (type(made), made.args, str(made)) == (type(error), error.args, str(error))


def test_a_file_that_was_not_there_is_named() -> None:
    made = exception_of(letter_of(FileNotFoundError(2, "No such file", "/nowhere")))
    assert isinstance(made, FileNotFoundError)
    assert (made.errno, made.filename) == (2, "/nowhere")


def test_a_retry_that_was_the_last_one_keeps_its_reason() -> None:
    made = exception_of(letter_of(Retry(5.0, reason="the host is down")))
    assert isinstance(made, Retry)
    assert (made.delay_s, made.reason) == (5.0, "the host is down")


def test_a_class_that_the_client_has_imported_is_made_of_its_args() -> None:
    made = exception_of(letter_of(OddError("x")))
    assert isinstance(made, OddError)
    assert str(made) == "no x"  # not "no no x", which its __init__ alone would make


@pytest.mark.parametrize(
    ("error", "type_name", "text"),
    [
        (DemandingError(1, 2), f"{__name__}.DemandingError", "1 and 2"),
        (SystemExit(3), "SystemExit", "3"),
        (KeyboardInterrupt(), "KeyboardInterrupt", ""),
        (GeneratorExit(), "GeneratorExit", ""),
        (StopIteration(5), "StopIteration", "5"),
        (ExceptionGroup("some", [ValueError("a")]), "ExceptionGroup", "some (1 sub-exception)"),
    ],
)
def test_any_other_is_a_task_error(error: BaseException, type_name: str, text: str) -> None:
    made = exception_of(letter_of(error))
    assert isinstance(made, TaskError)
    assert (made.type_name, made.text) == (type_name, text)
    assert str(made) == (f"{type_name}: {text}" if text else type_name)
    assert "Traceback" in made.traceback


def test_a_class_of_a_function_is_a_task_error() -> None:
    class LocalError(Exception):
        pass

    made = exception_of(letter_of(LocalError("here")))
    assert isinstance(made, TaskError)
    assert made.type_name.endswith("<locals>.LocalError")


def raised(module: str, qualname: str, *args: Any) -> DeadLetter:
    data = codec.encode((module, qualname, args))
    return DeadLetter(1, 1, 0, "Some: text", "", raised=data)


@pytest.fixture
def lazy_module(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A module that would run code for each name that it lacks."""
    asked: list[str] = []

    class Lazy(type(sys)):  # type: ignore[misc]
        def __getattr__(self, name: str) -> Any:
            asked.append(name)
            return ValueError

    monkeypatch.setitem(sys.modules, "lazy_module", Lazy("lazy_module"))
    return asked


def test_nothing_is_imported_or_run_for_a_name(lazy_module: list[str]) -> None:
    assert isinstance(exception_of(raised("lazy_module", "AnyError")), TaskError)
    assert lazy_module == []
    sys.modules.pop("antigravity", None)
    assert isinstance(exception_of(raised("antigravity", "AnyError")), TaskError)
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    ("module", "qualname"),
    [
        ("builtins", "eval"),
        ("builtins", "int"),
        ("builtins", "BaseException"),
        ("subprocess", "Popen"),
        ("queue_manager.client.exceptions", "sys.exit"),
        ("nowhere", ""),
        ("", "."),
    ],
)
def test_only_exceptions_are_made(module: str, qualname: str) -> None:
    made = exception_of(raised(module, qualname, "1+1"))
    assert isinstance(made, TaskError)


def test_limits_and_deaths_have_errors_of_their_own() -> None:
    late = exception_of(DeadLetter(1, 1, 0, "timed out after 2 s", "", raised=TIME_LIMIT))
    assert isinstance(late, TimeLimitError)
    assert isinstance(late, TimeoutError)
    assert str(late) == "timed out after 2 s"
    dead = exception_of(DeadLetter(1, 1, 0, "its slot died: SIGKILL", "", raised=WORKER_DIED))
    assert (type(dead), str(dead)) == (WorkerDiedError, "its slot died: SIGKILL")


def test_a_dead_letter_of_before_says_its_line() -> None:
    made = exception_of(DeadLetter(1, 1, 0, "ValueError: old", "trace"))
    assert isinstance(made, TaskError)
    assert (str(made), made.traceback) == ("ValueError: old", "trace")
    assert isinstance(exception_of(DeadLetter(1, 1, 0, "x", "", raised=b"\x80no")), TaskError)


def test_the_traceback_in_the_worker_is_the_cause() -> None:
    made = exception_of(letter_of(ValueError("bad")))
    assert isinstance(made.__cause__, RemoteTraceback)
    shown = "".join(traceback.format_exception(made))
    assert 'RemoteTraceback: \n"""\nTraceback (most recent call last)' in shown
    assert "raise error" in shown
    assert "(task 7, 1 attempt on host/1)" in shown
    assert "direct cause" in shown


def test_args_that_are_no_plain_data_or_too_long_travel_as_their_texts() -> None:
    made = exception_of(letter_of(ValueError(OddError, "x" * 10_000)))
    assert isinstance(made, ValueError)
    assert made.args[0] == str(OddError)
    assert made.args[1].endswith("x [cut]")
    assert len(write_raised(ValueError(*["y" * 5_000] * 999))) < 8 * 1024


def test_an_exception_whose_code_fails_is_told_by_its_line() -> None:
    class Wild(Exception):
        @property
        def args(self) -> Any:  # type: ignore[override]
            raise RuntimeError("no")

    assert write_raised(Wild()) == b""
    assert isinstance(exception_of(letter_of(Wild())), TaskError)
