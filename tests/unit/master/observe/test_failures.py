"""What the log says of a failed attempt: one line, whatever the job has said."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from master.changes import Changes
from master.observe.failures import FailureLog

FAULT = """Fatal Python error: Segmentation fault

Current thread 0x00007fd58f69fb80 (most recent call first):
  File "/jobs/crash.py", line 15 in work
  File "<frozen runpy>", line 198 in _run_module_as_main
"""


def noted(caplog: pytest.LogCaptureFixture, error: str, evidence: str = "") -> str:
    options = SimpleNamespace(attempts=3)
    run = SimpleNamespace(id=1, job="crash", options=options, traceparent="")
    lease: Any = SimpleNamespace(run=run, first=1, session=SimpleNamespace(name="host/1"))
    with caplog.at_level(logging.WARNING, logger="quartermaster.master"):
        FailureLog().note(lease, 0, error, 1, evidence)
    return caplog.messages[-1]


def test_a_segfault_is_not_blamed_on_the_frame_that_started_python(
    caplog: pytest.LogCaptureFixture,
) -> None:
    line = noted(caplog, "its slot died: killed by SIGSEGV", FAULT)
    assert line.endswith("SIGSEGV (attempt 1 of 3)")


def test_it_is_one_short_line_that_steers_no_terminal(caplog: pytest.LogCaptureFixture) -> None:
    line = noted(caplog, "no\nsecond \x1b[31mred " + "x" * 5_000_000)
    assert "\n" not in line
    assert "\x1b" not in line
    assert len(line) < 1_000


def test_nothing_is_remembered_of_a_run_that_has_ended() -> None:
    log = FailureLog()
    options = SimpleNamespace(attempts=3)
    run = SimpleNamespace(id=1, job="crash", options=options, traceparent="")
    lease: Any = SimpleNamespace(run=run, first=1, session=SimpleNamespace(name="host/1"))
    log.note(lease, 0, "bad", 1)
    log.after_commit(Changes(), 0.0)
    assert log._seen == {1: 1}
    ended = Changes()
    ended.ended.add(1)
    log.after_commit(ended, 0.0)
    assert log._seen == {}
