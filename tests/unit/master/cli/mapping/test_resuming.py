"""Whether a command goes on: what may be mixed, and what needs a word of the user."""

from __future__ import annotations

from dataclasses import replace

import pytest

from master.cli.mapping.resuming import Command, Plan, note_of, planned
from queue_manager.errors import RefusedError

COMMAND = Command("/x/work.py:work", ["jsonl:/x/in.jsonl"], "code", "content", None)
FIRST = planned(COMMAND, {}, lambda key: False, resume=False, anew=False)


def again(command: Command, done: bool = True, resume: bool = False, anew: bool = False) -> Plan:
    """The plan of a command after `COMMAND` was interrupted."""

    def has_results(key: str) -> bool:
        assert key == FIRST.key
        return done

    return planned(command, note_of(COMMAND, FIRST), has_results, resume=resume, anew=anew)


def test_the_same_command_goes_on_in_its_run() -> None:
    assert again(COMMAND) == FIRST
    assert FIRST.key is not None
    assert FIRST.key.startswith("qm map work.py-work-")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (replace(COMMAND, code="other"), "the code has changed"),
        (replace(COMMAND, content="other"), "the inputs have changed"),
        (replace(COMMAND, code="b", content="c"), "the code and the inputs have changed"),
    ],
)
def test_a_change_needs_a_word_once_there_are_results(changed: Command, said: str) -> None:
    assert changed.name == COMMAND.name
    with pytest.raises(RefusedError, match=said):
        again(changed)
    assert again(changed, resume=True).key == FIRST.key
    anew = again(changed, anew=True)
    assert anew.forget == FIRST.key != anew.key
    assert again(changed, done=False) == anew


def test_other_files_are_another_command_unless_they_have_one_key() -> None:
    other = replace(COMMAND, inputs=["jsonl:/x/other.jsonl"])
    assert other.name != COMMAND.name
    keyed = replace(other, key="k")
    assert keyed.name == replace(COMMAND, key="k").name
    assert keyed.run_key == "k"
    with pytest.raises(RefusedError, match="the key 'k' belongs to another command"):
        again(keyed)


def test_what_can_be_read_once_has_no_name_without_a_key() -> None:
    stream = replace(COMMAND, content="")
    assert (stream.name, stream.run_key) == ("", None)
    assert replace(stream, key="k").name
