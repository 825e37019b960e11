"""The log of a process: lines for people, or one object of JSON a line, whatever is in it."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from queue_manager import log_lines
from queue_manager.log_lines import about, about_run, always

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Written:
    """A logger as `log_to` sets it up, and what it has written."""

    def __init__(self) -> None:
        self._text = io.StringIO()
        self.log = logging.Logger("quartermaster.test")
        handler = logging.StreamHandler(self._text)
        handler.setFormatter(log_lines._formatter())
        self.log.addHandler(handler)

    @property
    def text(self) -> str:
        return self._text.getvalue()

    @property
    def one(self) -> dict[str, Any]:
        """The only line, as JSON."""
        (line,) = self.text.splitlines()
        found: dict[str, Any] = json.loads(line)
        return found


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[Written]:
    """A log in JSON."""
    monkeypatch.setenv("QUEUE_LOG", "json")
    yield Written()
    always.clear()


def test_a_line_has_its_time_level_logger_and_message(written: Written) -> None:
    written.log.warning("run %d waits", 3)
    line = written.one
    assert list(line) == ["time", "level", "logger", "message"]
    assert (line["level"], line["logger"]) == ("warning", "quartermaster.test")
    assert line["message"] == "run 3 waits"
    assert line["time"].endswith("+00:00")


def test_what_a_line_is_about_is_in_fields(written: Written) -> None:
    written.log.info("x", extra=about(run=0, task=7, worker="host/5", job="j", traceparent=TRACE))
    fields = {name: value for name, value in written.one.items() if name in log_lines.FIELDS}
    assert fields == {
        "job": "j", "run": 0, "task": 7, "worker": "host/5", "traceparent": TRACE,
    }  # fmt: skip


def test_what_is_not_known_is_left_out(written: Written) -> None:
    run = SimpleNamespace(id=3, job="", traceparent="")
    written.log.info("x", extra=about_run(run))
    assert [name for name in written.one if name in log_lines.FIELDS] == ["run"]


def test_what_is_true_of_a_process_is_in_each_line_and_a_line_knows_better(
    written: Written,
) -> None:
    always.update(about(run=3, job="j"))
    written.log.info("x", extra=about(run=4))
    assert (written.one["run"], written.one["job"]) == (4, "j")


HOSTILE = 'a\nb\r\x1b[31m\x00\x85\u2028\u202e\x7f"\\{"level":"error"}\udcff\U0001f600'


@pytest.mark.parametrize("where", ["message", "field", "exception"])
def test_a_hostile_text_stays_one_line_of_valid_json(written: Written, where: str) -> None:
    if where == "message":
        written.log.info("%s", HOSTILE)
    elif where == "field":
        written.log.info("x", extra=about(worker=HOSTILE))
    else:
        try:
            raise ValueError(HOSTILE)
        except ValueError:
            written.log.exception("x")
    found = written.one[{"field": "worker"}.get(where, where)]
    assert HOSTILE.replace("\udcff", "\\udcff") in found
    assert written.text.count("\n") == 1
    assert not any(c in written.text for c in "\x1b\x00\x85\u2028\u202e\x7f\r")


def test_a_record_of_another_library_may_have_anything_in_it(written: Written) -> None:
    written.log.info({"a": object()}, extra={"odd": object(), "secret": "token"})
    assert set(written.one) == {"time", "level", "logger", "message"}


def test_in_a_terminal_a_line_is_its_message_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUEUE_LOG", raising=False)
    plain = Written()
    plain.log.info("run %d\x1b[31m", 3, extra=about(run=3, worker="w"))
    assert plain.text == "run 3\\x1b[31m\n"


def test_nobody_loads_the_json_who_has_not_asked_for_it() -> None:
    code = (
        "import logging, sys; from queue_manager.log_lines import log_to;"
        "log_to(logging.StreamHandler()); print('pythonjsonlogger' in sys.modules)"
    )
    for setting, loaded in (("", "False"), ("json", "True")):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={"QUEUE_LOG": setting, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.stdout == f"{loaded}\n", done.stderr
