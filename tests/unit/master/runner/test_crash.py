"""How a runner dies, and what it makes of odd exceptions of a job's."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable

import pytest

from master.runner.crash import described
from master.runner.job_errors import JOB_ERRORS, JobErrors
from tests.integration.processes import REPO


class _Stop(BaseException):
    pass


def _odd_syntax_error() -> SyntaxError:
    return SyntaxError("odd", ("file", 1, "no column", "text"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "make",
    [lambda: _Stop("x"), lambda: asyncio.CancelledError(), _odd_syntax_error],
    ids=["own", "cancelled", "syntax"],
)
def test_whatever_a_function_of_a_job_raises_is_a_complaint(
    make: Callable[[], BaseException],
) -> None:
    errors, error = JobErrors(), make()
    assert isinstance(error, JOB_ERRORS)
    errors.note("collect", error)
    assert type(error).__name__ in described(error)
    assert errors.take() == 1


@pytest.mark.parametrize(
    "deed",
    ["sys.stdout.close()", "sys.stderr.close()", "sys.stdout = sys.stderr = None"],
    ids=["stdout", "stderr", "none"],
)
def test_a_runner_whose_streams_the_job_has_closed_ends_all_the_same(deed: str) -> None:
    """Also from a thread: a run must not wait for ever for a `tasks()` that has raised."""
    code = f"""
import sys, threading, time
from master.runner.crash import exit_on_error
def fails():
    {deed}
    raise ValueError("x")
threading.Thread(target=exit_on_error, args=(fails,), daemon=True).start()
time.sleep(30)
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, timeout=20)
    assert ended.returncode == 1


@pytest.mark.parametrize(
    ("raises", "code"),
    [("blame_arguments(lambda: int('x'))", 64), ("blame_arguments(lambda: 1 / 0)", 1)],
    ids=["value", "other"],
)
def test_a_value_error_of_the_arguments_has_an_exit_code_of_its_own(raises: str, code: int) -> None:
    program = f"""
from master.runner.crash import blame_arguments, exit_on_error
exit_on_error(lambda: {raises})
"""
    words = [sys.executable, "-c", program]
    ended = subprocess.run(words, cwd=REPO, capture_output=True, timeout=60)
    assert ended.returncode == code
    assert b"BadArgumentsError" not in ended.stderr
