"""What jobs have printed: of runners alone, of bounded size, gone with the run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from master.changes import Changes
from master.server.printed import PrintedTexts
from queue_manager.wire.messages import Printed


def reply_to(name: str) -> Any:
    return SimpleNamespace(peer=SimpleNamespace(name=name))


def test_the_newest_word_of_a_runner_is_kept() -> None:
    texts = PrintedTexts()
    texts.take(reply_to("runner host/1"), Printed(7, "one"))
    texts.take(reply_to("runner host/1"), Printed(7, "one two"))
    assert texts.of(7) == "one two"
    assert texts.of(8) == ""


def test_nobody_else_has_a_word_in_it() -> None:
    texts = PrintedTexts()
    texts.take(reply_to("client runner /1"), Printed(7, "forged"))
    assert texts.of(7) == ""


def test_it_is_of_so_many_runs_and_goes_with_them() -> None:
    texts = PrintedTexts()
    for run in range(1, 2_001):
        texts.take(reply_to("runner host/1"), Printed(run, f"run {run}"))
    assert (texts.of(1_000), texts.of(1_001)) == ("", "run 1001")
    changes = Changes()
    changes.forgotten.add(2_000)
    texts.after_commit(changes, 0.0)
    assert texts.of(2_000) == ""
