"""A program that is started again with its function as it was, or changed: what it is told."""

from __future__ import annotations

import sys

from tests.integration.processes import Master, Process

PROGRAM = """
from queue_manager import connect

STOP = {{"the", "a", "an", "of", "and"}}


class Word:
    def __init__(self, text):
        self.text = text


def shown(text):
    return None if text in STOP else {result}


with connect() as qm:
    print(list(qm.map(shown, ["the", "end"], key="words")))
"""
TOLD = "run 1 (shown) has run other code before, and its 2 results stay: only what is left runs"


def log_of(master: Master, name: str, text: str, seed: str) -> str:
    """What a program prints that runs to its end."""
    path = master.folder / f"{name}.py"
    path.write_text(text)
    environ = master.environment() | {"PYTHONHASHSEED": seed}
    process = Process(master.folder / f"{name}.log", [sys.executable, str(path)], environ)
    master.started.append(process)
    assert process.wait(30.0) == 0, process.log
    return process.log


def test_only_a_function_that_does_something_else_is_told_as_other_code(master: Master) -> None:
    master.worker()
    text = PROGRAM.format(result="Word(text).text")
    results = "[None, 'end']\n"
    assert log_of(master, "first", text, "1") == results
    assert log_of(master, "again", "\n\n# Another line.\n" + text, "2") == results
    changed = PROGRAM.format(result="Word(text).text.upper()")
    for name in ("changed", "changed_again"):
        log = log_of(master, name, changed, "3")
        assert TOLD in log
        assert log.endswith(results)
    assert TOLD in log_of(master, "back", text, "4"), "some results may be of the other one"
